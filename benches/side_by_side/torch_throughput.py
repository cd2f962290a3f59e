#!/usr/bin/env python3
"""The PyTorch side of the comparison: UniFilter caption scoring on transformers' own SigLIP and Qwen classes, timed.

    torch_throughput.py MODEL N BATCH DTYPE [options]
      MODEL  checkpoint directory, or a randomly initialised named configuration:
             tiny | full-qwen2.5-0.5b | full-qwen2.5-1.5b | full-qwen3-0.6b
      DTYPE  f32 | bf16 | f16
    options: --device cpu|cuda  --attn sdpa|eager|flash_attention_2  --compile  --threads T  --repeat R
             --workers W... (DataLoader processes for the end-to-end figure; the fastest of several counts)
             --data DIR|TAR|PARQUET (image + text)  --image-size WxH (of the synthetic JPEGs)
             --write-tar FILE  --write-parquet FILE (key, image, text; needs pyarrow)  --no-run (only --save and --write-...)
             --tokenizer DIR (tokenizer.json, tokenizer_config.json)  --save DIR (the model and its tokenizer as a checkpoint
             in the released layout, so that both sides score with the same weights)
             --scores FILE  --check-golden CHECKPOINT (a folder with cases.json)  --preprocess auto|hf|lut

run.py calls it. Needs torch, transformers (4.51 or later, 5 included), pillow, numpy, safetensors. Prints one JSON line: rows/s
for decode and preprocess alone, for the forward pass alone, and end to end from JPEG bytes; peak memory. Gives the scores of
models/tests/golden within 4e-7 (f32, --check-golden). A named model without --tokenizer reads captions as stable pseudo ids.
"""
import argparse, glob, hashlib, io, json, os, shutil, sys, tarfile, time, warnings
os.environ.setdefault("HF_HUB_OFFLINE", "1"); os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
warnings.filterwarnings("ignore")
import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from PIL import Image

IMAGE_TOKEN = -200
DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}
SO400M = dict(hidden_size=1152, num_hidden_layers=27, num_attention_heads=16, intermediate_size=4304, patch_size=14, image_size=384)
TINYV = dict(hidden_size=64, num_hidden_layers=3, num_attention_heads=4, intermediate_size=128, patch_size=14, image_size=384)


def llm(model_type, h, layers, heads, kv, inter, vocab=151936, **kw):
    return dict(model_type=model_type, hidden_size=h, num_hidden_layers=layers, num_attention_heads=heads, num_key_value_heads=kv,
                intermediate_size=inter, vocab_size=vocab, max_position_embeddings=32768, rope_theta=1e6, rms_norm_eps=1e-6,
                hidden_act="silu", tie_word_embeddings=True, use_sliding_window=False, **kw)


NAMED = {
    "tiny": (llm("llava_qwen", 64, 3, 4, 2, 128, 2048), TINYV),
    "middle": (llm("llava_qwen", 384, 12, 6, 2, 1536, 2048), dict(TINYV, hidden_size=384, num_hidden_layers=12, num_attention_heads=6, intermediate_size=1536, patch_size=16)),
    "full-qwen2.5-0.5b": (llm("llava_qwen", 896, 24, 14, 2, 4864), SO400M),
    "full-qwen2.5-1.5b": (llm("llava_qwen", 1536, 28, 12, 2, 8960), SO400M),
    "full-qwen3-0.6b": (llm("llava_qwen3", 1024, 28, 16, 8, 3072, head_dim=128), SO400M),
}


class Spec:
    """Everything the two implementations need to know about a model."""

    def __init__(self, model):
        self.dir = None
        if os.path.isdir(model):
            self.dir = os.path.abspath(model)
            c = json.load(open(f"{self.dir}/config.json"))
            tower = c["mm_vision_tower"]
            self.tower = tower if os.path.isabs(tower) and os.path.isdir(tower) else f"{self.dir}/{tower}"
            v = json.load(open(f"{self.tower}/config.json"))
            self.vision = {k: x for k, x in v.get("vision_config", v).items() if k not in ("model_type", "torch_dtype", "dtype")}
            self.llm, self.pad = c, c["pad_token_id"]
            p = next(f"{d}/preprocessor_config.json" for d in (self.tower, self.dir) if os.path.exists(f"{d}/preprocessor_config.json"))
            self.resample = json.load(open(p))["resample"]
            self.num_labels = len(c.get("id2label", {0: 0, 1: 1}))
        else:
            self.llm, self.vision = NAMED[model]
            self.resample, self.num_labels, self.tower = 3, 1, None
            self.pad = 2000 if self.llm["vocab_size"] < 10000 else 151643
        self.tokens = self.llm.get("mm_num_image_tokens", 144)
        self.qwen3 = self.llm["model_type"] == "llava_qwen3"
        self.tok_dir = self.dir


class Tok:
    """Caption text -> ids, as the caption script does at batch size 1 (75 ids at most)."""

    def __init__(self, spec):
        self.pad = spec.pad
        if spec.tok_dir:
            from tokenizers import Tokenizer
            self.t = Tokenizer.from_file(f"{spec.tok_dir}/tokenizer.json")
            c = json.load(open(f"{spec.tok_dir}/tokenizer_config.json"))
            tid = lambda k: self.t.token_to_id(c[k] if isinstance(c[k], str) else c[k]["content"])
            self.bos, self.eos, self.pad = tid("bos_token"), tid("eos_token"), tid("pad_token")
        else:  # no tokenizer at hand: about 1.3 stable pseudo-ids a word
            self.t, self.bos, self.eos = None, 1, 2

    def enc(self, s):
        if self.t is not None:
            return self.t.encode(s, add_special_tokens=True).ids if s else []
        return [10 + sum(map(ord, w[k:k + 6])) % 1500 for w in s.split(" ") for k in range(0, len(w), 6)]

    def caption(self, text, limit=75):
        ids = [self.bos, IMAGE_TOKEN] + self.enc("\n" + text.replace("<image>", "image"))
        if ids[-1] != self.eos:
            ids.append(self.eos)
        return ids[:limit]

    def batch(self, texts):
        rows = [self.caption(t) for t in texts]
        n = max(map(len, rows))
        ids = torch.tensor([r + [self.pad] * (n - len(r)) for r in rows])
        return ids, ids.ne(self.pad)


LUT = ((np.arange(256).astype(np.float64) * (1 / 255)).astype(np.float32) - np.float32(0.5)) / np.float32(0.5)


def decode(data):
    im = Image.open(io.BytesIO(data))
    im.load()
    return im.convert("RGB")


def preprocess(img, resample, size=384):
    return LUT[np.asarray(img.resize((size, size), resample=resample))].transpose(2, 0, 1)


# ------------------------------------------------------------------------------------------------ direct implementation
class Direct(nn.Module):
    def __init__(self, spec, attn):
        super().__init__()
        import transformers as tf
        drop = {"model_type", "architectures", "torch_dtype", "dtype", "transformers_version", "id2label", "label2id"}
        kw = {k: v for k, v in spec.llm.items() if k not in drop and not k.startswith(("mm_", "tokenizer_", "tune_", "freeze_", "image_", "use_mm"))}
        if int(tf.__version__.split(".")[0]) >= 5 and "rope_theta" in kw:  # 5.x: rope parameters are one dictionary
            kw.pop("rope_scaling", None)
            kw["rope_parameters"] = {"rope_type": "default", "rope_theta": kw.pop("rope_theta")}
        C, M = (tf.Qwen3Config, tf.Qwen3Model) if spec.qwen3 else (tf.Qwen2Config, tf.Qwen2Model)
        c, v = C(**kw), tf.SiglipVisionConfig(**spec.vision)
        v.vision_use_head = False               # the pooling head is never used
        c._attn_implementation = attn
        v._attn_implementation = attn
        self.llm, self.vision = M(c), tf.SiglipVisionModel(v)
        self.vcore = [getattr(self.vision, "vision_model", self.vision)]  # 4.x nests it, 5.x does not
        self.vcore[0].post_layernorm = nn.Identity()                      # hidden_states[-1] is taken before it
        d, h = spec.vision["hidden_size"], spec.llm["hidden_size"]
        self.mlp = nn.Sequential(nn.Linear(d, h), nn.GELU(), nn.Linear(h, h))
        self.score = nn.Linear(h, spec.num_labels, bias=False)
        self.side = int(spec.tokens ** 0.5)

    def load(self, spec):
        from safetensors.torch import load_file
        sd = {}
        for f in sorted(glob.glob(f"{spec.dir}/*.safetensors")):
            sd.update(load_file(f))
        vp = "model.vision_tower.vision_tower."
        vis = {k[len(vp):]: v for k, v in sd.items() if k.startswith(vp)} or \
              {k: v for f in sorted(glob.glob(f"{spec.tower}/*.safetensors")) for k, v in load_file(f).items()}
        nested = hasattr(self.vision, "vision_model")
        vis = {(k if nested else k.removeprefix("vision_model.")): v for k, v in vis.items()
               if k.startswith("vision_model.") and ".head." not in k and "post_layernorm" not in k}
        lm = {k[6:]: v for k, v in sd.items() if k.startswith(("model.embed_tokens", "model.layers", "model.norm"))}
        self.vision.load_state_dict(vis, strict=True)
        self.llm.load_state_dict(lm, strict=True)
        self.mlp.load_state_dict({k.rsplit("mlp_projector.", 1)[1]: v for k, v in sd.items() if "mlp_projector." in k})
        self.score.load_state_dict({"weight": sd["score.weight"]})
        return self

    def save(self, spec, folder, dtype):
        """Write config.json, model.safetensors and the vision tower's folder with the released parameter names."""
        from safetensors.torch import save_file
        tower = f"{folder}/vision_tower"
        os.makedirs(tower, exist_ok=True)
        vis = {(k if k.startswith("vision_model.") else f"vision_model.{k}"): v.detach().cpu().contiguous() for k, v in self.vision.state_dict().items()}
        sd = {f"model.{k}": v for k, v in self.llm.state_dict().items()}
        sd |= {f"model.mm_projector.mlp_projector.{k}": v for k, v in self.mlp.state_dict().items()} | {"score.weight": self.score.weight}
        save_file({k: v.detach().cpu().contiguous() for k, v in sd.items()}, f"{folder}/model.safetensors", metadata={"format": "pt"})
        save_file(vis, f"{tower}/model.safetensors", metadata={"format": "pt"})
        names = {torch.float32: "float32", torch.bfloat16: "bfloat16", torch.float16: "float16"}
        conf = dict(spec.llm, architectures=["LlavaQwen3Classifier" if spec.qwen3 else "LlavaQwenClassifier"], torch_dtype=names[dtype], pad_token_id=spec.pad,
                    id2label={"0": "LABEL_0"}, label2id={"LABEL_0": 0}, mm_vision_tower="vision_tower", mm_vision_select_layer=-1, mm_vision_select_feature="patch",
                    mm_projector_type="aapool_mlp", mm_num_image_tokens=spec.tokens, mm_hidden_size=spec.vision["hidden_size"], mm_patch_merge_type="flat",
                    use_mm_proj=True, tokenizer_model_max_length=8192, tokenizer_padding_side="right", image_aspect_ratio="pad")
        json.dump(conf, open(f"{folder}/config.json", "w"), indent=1)
        json.dump({"model_type": "siglip", "vision_config": spec.vision}, open(f"{tower}/config.json", "w"), indent=1)
        for f in ("tokenizer.json", "tokenizer_config.json") if spec.tok_dir else ():
            shutil.copyfile(f"{spec.tok_dir}/{f}", f"{folder}/{f}")
        json.dump({"image_processor_type": "SiglipImageProcessor", "size": {"height": 384, "width": 384}, "resample": spec.resample, "do_resize": True, "do_rescale": True,
                   "rescale_factor": 1 / 255, "do_normalize": True, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}, open(f"{tower}/preprocessor_config.json", "w"), indent=1)

    def forward(self, ids, mask, pixels):
        f = self.vision(pixel_values=pixels).last_hidden_state
        b, n, d = f.shape
        s = int(n ** 0.5)
        f = F.adaptive_avg_pool2d(f.transpose(1, 2).reshape(b, d, s, s), self.side).flatten(2).transpose(1, 2)
        f = self.mlp(f)
        rows = []
        for i in range(ids.shape[0]):
            r = ids[i][mask[i]]
            p = int((r == IMAGE_TOKEN).nonzero()[0])
            e = self.llm.embed_tokens(torch.cat([r[:p], r[p + 1:]]))
            rows.append(torch.cat([e[:p], f[i], e[p:]]))
        n = torch.tensor([len(r) for r in rows], device=ids.device)
        x = nn.utils.rnn.pad_sequence(rows, batch_first=True)
        m = torch.arange(x.shape[1], device=ids.device)[None] < n[:, None]
        h = self.llm(inputs_embeds=x, attention_mask=m, use_cache=False).last_hidden_state
        return self.score(h[torch.arange(len(rows), device=ids.device), n - 1])


def fill(model, seed=0):
    torch.manual_seed(seed)
    with torch.no_grad():
        for n, p in model.named_parameters():
            if "norm" in n and n.endswith("weight"):
                p.fill_(1)
            elif n.endswith("bias"):
                p.zero_()
            else:
                p.normal_(0, 0.02)


def build_direct(spec, dtype, device, attn, compiled=False, save=None):
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            m = Direct(spec, attn)
    finally:
        torch.set_default_dtype(torch.float32)
    m = m.load(spec) if spec.dir else (fill(m), m)[1]
    m.eval()
    if save:
        m.save(spec, save, dtype)
    if compiled:
        m.vision, m.llm = torch.compile(m.vision), torch.compile(m.llm, dynamic=True)
    return lambda ids, mask, px: m(ids.to(device), mask.to(device), px.to(device=device, dtype=dtype))


# ------------------------------------------------------------------------------------------------ data
def synthetic(n, size, seed=1):
    r = np.random.default_rng(seed)
    words = "a the of and photo image red blue green old new house tree dog cat street city people sky water food table large small view front with on in from stock free vintage design color white black".split()
    w, h = size
    rows = []
    for i in range(n):
        a = np.zeros((h, w, 3), np.float32)
        for k in (4, 16, 64):
            g = r.normal(0, 60 / k ** 0.35, (max(2, h * k // 256), max(2, w * k // 256), 3)).astype(np.float32)
            a += np.stack([np.asarray(Image.fromarray(g[..., c]).resize((w, h), Image.BICUBIC)) for c in range(3)], -1)
        im = Image.fromarray(np.clip(a + 120 + r.normal(0, 4, a.shape), 0, 255).astype(np.uint8))
        b = io.BytesIO(); im.save(b, "JPEG", quality=85)
        rows.append((b.getvalue(), " ".join(words[int(x)] for x in r.integers(0, len(words), int(r.integers(4, 30))))))
    return rows


def read_data(path, n):
    ex = (".jpg", ".jpeg", ".png", ".webp")
    if path.endswith(".parquet"):
        import pyarrow.parquet as pq
        t = pq.read_table(path, columns=["image", "text"]).to_pydict()
        rows = [(b["bytes"] if isinstance(b, dict) else b, c) for b, c in zip(t["image"], t["text"])]
    elif os.path.isdir(path):
        f = sorted(p for p in glob.glob(f"{path}/*") if p.lower().endswith(ex))
        rows = [(open(p, "rb").read(), open(p.rsplit(".", 1)[0] + ".txt", encoding="utf-8").read()) for p in f if os.path.exists(p.rsplit(".", 1)[0] + ".txt")]
    else:
        d = {}
        with tarfile.open(path) as t:
            for m in t:
                if m.isfile():
                    k, e = m.name.rsplit(".", 1)
                    d.setdefault(k, {})[e.lower()] = t.extractfile(m).read()
        rows = [(next(v[e[1:]] for e in ex if e[1:] in v), v["txt"].decode()) for v in d.values() if "txt" in v and any(e[1:] in v for e in ex)]
    return (rows * (n // len(rows) + 1))[:n]


class Rows(torch.utils.data.Dataset):
    def __init__(self, rows, batch, tok, resample, hf):
        self.b = [rows[i:i + batch] for i in range(0, len(rows), batch)]
        self.tok, self.resample, self.ip = tok, resample, None
        if hf:  # the released collator (the PIL-backed class in 5.x, where the plain name is the torchvision one)
            import transformers as tf
            K = getattr(tf, "SiglipImageProcessorPil", tf.SiglipImageProcessor)
            self.ip = K(size={"height": 384, "width": 384}, resample=resample, image_mean=[0.5] * 3, image_std=[0.5] * 3)

    def __len__(self):
        return len(self.b)

    def __getitem__(self, i):
        imgs = [decode(d) for d, _ in self.b[i]]
        px = self.ip(imgs, return_tensors="pt")["pixel_values"] if self.ip else torch.from_numpy(np.stack([preprocess(x, self.resample) for x in imgs]))
        return (px, *self.tok.batch([t for _, t in self.b[i]]))


def check_golden(run, spec, tok, root):
    g = json.load(open(f"{root}/cases.json"))
    worst, n, idbad, other = 0.0, 0, 0, []
    for c in g["captions"]:
        img = decode(open(os.path.normpath(f"{root}/{c['image']}"), "rb").read())
        ids, mask = tok.batch([c["caption"]])
        idbad += ids[0].tolist() != c["input_ids"]
        with torch.inference_mode():
            s = float(run(ids, mask, torch.from_numpy(preprocess(img, spec.resample))[None])[0, 0])
        same = hashlib.sha256(np.asarray(img.resize((384, 384), resample=spec.resample)).tobytes()).hexdigest() == c["resized_sha256"]
        n += 1
        if same:
            worst = max(worst, abs(s - c["score"]))
        else:
            other.append([c["id"], abs(s - c["score"])])
    return {"cases": n, "cases_whose_resized_pixels_differ_here": other, "cases_with_other_ids": idbad, "max_abs_score_difference": worst}


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("model"); ap.add_argument("n", type=int); ap.add_argument("batch", type=int); ap.add_argument("dtype", choices=DTYPES)
    ap.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    ap.add_argument("--compile", action="store_true"); ap.add_argument("--save"); ap.add_argument("--write-parquet"); ap.add_argument("--tokenizer")
    ap.add_argument("--attn", default="sdpa"); ap.add_argument("--threads", type=int, default=0)
    ap.add_argument("--workers", type=int, nargs="+", default=[0]); ap.add_argument("--data"); ap.add_argument("--image-size", default="640x480")
    ap.add_argument("--write-tar"); ap.add_argument("--scores"); ap.add_argument("--check-golden"); ap.add_argument("--repeat", type=int, default=1)
    ap.add_argument("--preprocess", default="auto", choices=["auto", "hf", "lut"]); ap.add_argument("--no-run", action="store_true")
    a = ap.parse_args()
    if a.threads:
        torch.set_num_threads(a.threads)
    import transformers
    spec, dtype = Spec(a.model), DTYPES[a.dtype]
    t = time.perf_counter()
    if a.tokenizer:
        spec.tok_dir = a.tokenizer
    run = build_direct(spec, dtype, a.device, a.attn, a.compile, a.save)
    load_s = time.perf_counter() - t
    tok = Tok(spec)
    out = {"model": a.model, "compiled": a.compile, "n": a.n, "batch": a.batch, "dtype": a.dtype, "device": a.device if a.device == "cpu" else torch.cuda.get_device_name(),
           "attn": a.attn, "threads": torch.get_num_threads(), "torch": torch.__version__, "transformers": transformers.__version__,
           "tokenizer": spec.tok_dir or "pseudo ids", "model_build_s": round(load_s, 2)}
    if a.check_golden:
        out["golden"] = check_golden(run, spec, tok, a.check_golden)
        print(json.dumps(out)); return
    rows = read_data(a.data, a.n) if a.data else synthetic(a.n, tuple(map(int, a.image_size.split("x"))))
    out["rows"] = a.data or f"synthetic {a.image_size} JPEG, mean {sum(len(b) for b, _ in rows) // len(rows)} bytes"
    if a.write_tar:
        with tarfile.open(a.write_tar, "w") as tf_:
            for i, (b, c) in enumerate(rows):
                for e, x in (("jpg", b), ("txt", c.encode()), ("json", json.dumps({"key": f"{i:08d}"}).encode())):
                    ti = tarfile.TarInfo(f"{i:08d}.{e}"); ti.size = len(x); tf_.addfile(ti, io.BytesIO(x))
    if a.write_parquet:
        import pyarrow as pa, pyarrow.parquet as pq
        pq.write_table(pa.table({"key": [f"{i:08d}" for i in range(len(rows))], "image": pa.array([b for b, _ in rows], pa.binary()), "text": [c for _, c in rows]}), a.write_parquet, row_group_size=1000)
    if a.no_run:
        return
    sync = torch.cuda.synchronize if a.device.startswith("cuda") else (lambda: None)
    hf = a.preprocess == "hf"
    out["preprocess"] = "SiglipImageProcessor" if hf else "PIL resize + lookup table"
    ds = Rows(rows, a.batch, tok, spec.resample, hf)
    best = lambda x: round(max(x), 4)
    with torch.inference_mode():
        pre, fwd, tot = [], [], []
        first = ds[0]
        run(first[1], first[2], first[0]); sync()            # warm up
        for _ in range(a.repeat):
            t = time.perf_counter(); batches = [ds[i] for i in range(len(ds))]; pre.append(a.n / (time.perf_counter() - t))
            t = time.perf_counter(); scores = []
            for px, ids, m in batches:
                scores.append(run(ids, m, px).float().cpu())
            sync(); fwd.append(a.n / (time.perf_counter() - t))
            del batches
            for w in a.workers:
                t = time.perf_counter()
                it = torch.utils.data.DataLoader(ds, batch_size=None, num_workers=w) if w else (ds[i] for i in range(len(ds)))
                for px, ids, m in it:
                    run(ids, m, px).float().cpu()
                sync(); tot.append((a.n / (time.perf_counter() - t), w))
    out |= {"sequence_length_mean": round(float(np.mean([int(m.sum()) for i in range(len(ds)) for m in tok.batch([c for _, c in ds.b[i]])[1]])) + 143, 1),
            "decode_preprocess_rows_per_s": best(pre), "forward_rows_per_s": best(fwd), "total_rows_per_s": round(max(tot)[0], 4), "workers": max(tot)[1]}
    if a.device.startswith("cuda"):
        out["peak_gpu_GiB"] = round(torch.cuda.max_memory_allocated() / 2**30, 2)
    else:
        import resource
        out["peak_rss_GiB"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2)
    if a.scores:
        json.dump([r for s in scores for r in s.tolist()], open(a.scores, "w"))
    print(json.dumps(out))


if __name__ == "__main__":
    main()
