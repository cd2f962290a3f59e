#!/usr/bin/env python3
"""Makes the folder that a training from scratch begins with: a tokenizer learnt from captions, and the model's configuration.

    python3 examples/train/tokenizer.py --texts /tmp/tamis-train/captions-train.parquet --to /tmp/tamis-train/begin

It has no weights: `tamis train --model FOLDER --from-scratch` makes them.
"""

import argparse
import json
import pathlib

import pyarrow.parquet as pq
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

# Words, digits, signs and line ends. Spaces and capitals are left out, so that a word is one token wherever it stands: alone, within
# a sentence, in a title or a file's name.
PIECES = r"\p{L}+|\p{N}|[^\s\p{L}\p{N}]|\s"
PAD, BOS, EOS = "<pad>", "<s>", "</s>"


def tokenizer(texts, size):
    made = Tokenizer(models.BPE())
    made.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    made.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(" ", "removed"),
        pre_tokenizers.Split(Regex(PIECES), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False),
    ])
    made.decoder = decoders.ByteLevel()
    special = [AddedToken(token, special=True, normalized=False) for token in (PAD, BOS, EOS)]
    made.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=size, special_tokens=special, show_progress=False, min_frequency=3,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    ))
    return made


def tokenizer_config(made):
    def described(token):
        return {"content": token, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True}

    return {
        "added_tokens_decoder": {str(made.token_to_id(token)): described(token) for token in (PAD, BOS, EOS)},
        "bos_token": BOS, "eos_token": EOS, "pad_token": PAD, "unk_token": None,
        "model_max_length": 1024, "padding_side": "right", "tokenizer_class": "PreTrainedTokenizerFast",
    }


def config(made, side):
    """A small UniFilter in the released layout: about five million parameters."""
    return {
        "architectures": ["LlavaQwenClassifier"],
        "model_type": "llava_qwen",
        "hidden_size": 192, "num_hidden_layers": 4, "num_attention_heads": 6, "num_key_value_heads": 2,
        "intermediate_size": 512, "hidden_act": "silu", "rms_norm_eps": 1e-06, "rope_theta": 10000.0,
        "attention_dropout": 0.0, "initializer_range": 0.02, "max_position_embeddings": 2048,
        "use_sliding_window": False, "tie_word_embeddings": True, "use_cache": True,
        "vocab_size": made.get_vocab_size(),
        "bos_token_id": made.token_to_id(BOS), "eos_token_id": made.token_to_id(EOS), "pad_token_id": made.token_to_id(PAD),
        "tokenizer_model_max_length": 2048, "tokenizer_padding_side": "right",
        "id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0},
        "mm_vision_tower": "vision-tower", "mm_vision_select_layer": -1, "mm_vision_select_feature": "patch",
        "mm_projector_type": "aapool_mlp", "mm_hidden_size": 192, "mm_num_image_tokens": 36, "mm_patch_merge_type": "flat",
        "mm_use_im_patch_token": False, "mm_use_im_start_end": False, "use_mm_proj": True, "image_aspect_ratio": "stretch",
        "vision_config": {
            "model_type": "siglip_vision_model",
            "hidden_size": 192, "num_hidden_layers": 6, "num_attention_heads": 6, "intermediate_size": 768,
            "num_channels": 3, "image_size": side, "patch_size": 16, "layer_norm_eps": 1e-06,
            "hidden_act": "gelu_pytorch_tanh", "attention_dropout": 0.0,
        },
        "torch_dtype": "float32",
    }


def preprocessor(side):
    return {
        "image_processor_type": "SiglipImageProcessor",
        "do_convert_rgb": None, "do_normalize": True, "do_rescale": True, "do_resize": True,
        "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5], "resample": 2, "rescale_factor": 1 / 255,
        "size": {"height": side, "width": side},
    }


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--texts", required=True, help="samples of `tamis synth`")
    args.add_argument("--to", type=pathlib.Path, required=True)
    args.add_argument("--size", type=int, default=2560, help="tokens of the vocabulary")
    args.add_argument("--side", type=int, default=128, help="pixels of an image's side")
    args = args.parse_args()
    texts = pq.read_table(args.texts, columns=["text"])["text"].to_pylist()
    made = tokenizer((f"\n{text}" for text in texts), args.size)
    args.to.mkdir(parents=True, exist_ok=True)
    made.save(str(args.to / "tokenizer.json"))
    files = {
        "tokenizer_config.json": tokenizer_config(made),
        "special_tokens_map.json": {"bos_token": BOS, "eos_token": EOS, "pad_token": PAD},
        "config.json": config(made, args.side),
        "preprocessor_config.json": preprocessor(args.side),
    }
    for name, content in files.items():
        (args.to / name).write_text(json.dumps(content, indent=2) + "\n")
    lengths = sorted(len(made.encode(f"\n{text}").ids) for text in texts[:: max(1, len(texts) // 5000)])
    print(
        f"{args.to}: {made.get_vocab_size()} tokens; a caption takes {sum(lengths) / len(lengths):.1f}, "
        f"one of a hundred more than {lengths[len(lengths) * 99 // 100]}"
    )


if __name__ == "__main__":
    main()
