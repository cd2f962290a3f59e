#!/usr/bin/env python3
"""What PyTorch makes of a model's training: the oracle of `tamis train`, and the other side of its speed.

    torch_train.py MODEL ROWS --stage 1|2 [--steps N] [--batch-size N] [--learning-rate X] [--clip X] [-o DIR]
    torch_train.py ... --against DIR     compares losses and tensors with what `tamis train` left in DIR
    torch_train.py ... --speed N         samples a second over N steps, after one that warms up

MODEL is a checkpoint in the released layout, ROWS a Parquet file with image, text and level, or the reference's JSON list of captions. Everything is taken from the reference's recipe: AdamW,
a cosine without warm-up, rows in order, images stretched. The model is transformers' SigLIP and Qwen with the projector between them.
"""
import argparse, json, math, os, time
import numpy as np, pyarrow.parquet as pq, torch, torch.nn as nn, torch.nn.functional as F
from safetensors.torch import load_file
import torch_throughput as tt

PARTS = {"vision": "model.vision_tower.", "projector": "model.mm_projector.", "language": "model.", "head": "score."}


def named(model):
    """Parameters by their names in the released layout."""
    for name, parameter in model.named_parameters():
        first, rest = name.split(".", 1)
        if first == "llm":
            yield f"model.{rest}", parameter
        elif first == "mlp":
            yield f"model.mm_projector.mlp_projector.{rest}", parameter
        elif first == "score":
            yield name, parameter
        elif first == "vision" and "head." not in rest:
            rest = rest if rest.startswith("vision_model.") else f"vision_model.{rest}"
            yield f"model.vision_tower.vision_tower.{rest}", parameter


def part(name):
    if name.startswith("score."):
        return "head"
    return next((p for p in ("vision", "projector") if name.startswith(PARTS[p])), "language")


def pooled(model, pixels):
    f = model.vision(pixel_values=pixels).last_hidden_state
    b, n, d = f.shape
    s = int(n**0.5)
    return F.adaptive_avg_pool2d(f.transpose(1, 2).reshape(b, d, s, s), model.side).flatten(2).transpose(1, 2)


def loss_of(model, stage, tok, texts, labels, features):
    f = model.mlp(features)
    rows, targets = [], []
    for i, text in enumerate(texts):
        if stage == 1:
            ids = [tok.bos, tt.IMAGE_TOKEN] + tok.enc(text.replace("<image>", "image") + "\n")
        else:
            ids = tok.caption(text, limit=10**9)
        ids = torch.tensor([i for i in ids if i != tok.pad])
        p = int((ids == tt.IMAGE_TOKEN).nonzero()[0])
        e = model.llm.embed_tokens(torch.cat([ids[:p], ids[p + 1 :]]))
        rows.append(torch.cat([e[:p], f[i], e[p:]]))
        ignored = torch.full((f.shape[1],), -100)
        targets.append(torch.cat([torch.full((p,), -100), ignored, ids[p + 1 :]]))
    n = torch.tensor([len(r) for r in rows])
    x = nn.utils.rnn.pad_sequence(rows, batch_first=True)
    mask = torch.arange(x.shape[1])[None] < n[:, None]
    h = model.llm(inputs_embeds=x, attention_mask=mask, use_cache=False).last_hidden_state
    if stage == 1:
        logits = F.linear(h, model.llm.embed_tokens.weight).float()
        y = nn.utils.rnn.pad_sequence(targets, batch_first=True, padding_value=-100)
        return F.cross_entropy(logits[:, :-1].flatten(0, 1), y[:, 1:].flatten(), ignore_index=-100)
    logits = model.score(h[torch.arange(len(rows)), n - 1]).float()
    if logits.shape[1] == 1:
        return (logits[:, 0] - labels).pow(2).mean()
    return F.cross_entropy(logits, labels.long())


def read(path, folder):
    if not path.endswith(".json"):
        return pq.read_table(path).to_pydict()
    rows = json.load(open(path))
    images = [open(os.path.join(folder or os.path.dirname(path), row["image"]), "rb").read() for row in rows]
    texts = [row["text"].removeprefix("<image>\n") for row in rows]
    return {"image": images, "text": texts, "level": [row["label"] for row in rows]}


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("model"); ap.add_argument("rows"); ap.add_argument("--stage", type=int, required=True)
    ap.add_argument("--steps", type=int, default=1); ap.add_argument("--batch-size", type=int, default=4)
    ap.add_argument("--learning-rate", type=float, default=1e-3); ap.add_argument("--clip", type=float)
    ap.add_argument("--unfreeze", default=""); ap.add_argument("--threads", type=int); ap.add_argument("--speed", type=int); ap.add_argument("--against"); ap.add_argument("--image-folder")
    a = ap.parse_args()
    if a.threads:
        torch.set_num_threads(a.threads)
    spec = tt.Spec(a.model)
    model = tt.Direct(spec, "sdpa").load(spec)
    tok, size = tt.Tok(spec), spec.vision["image_size"]
    table = read(a.rows, a.image_folder)
    level = table.get("level") or table["label"]
    trained = {1: {"projector"}, 2: {"projector", "language", "head"}}[a.stage] | set(filter(None, a.unfreeze.split(",")))
    model.train()
    for name, p in model.named_parameters():
        p.requires_grad_(False)
    parameters = [(name, p) for name, p in named(model) if part(name) in trained and not (part(name) == "language" and a.stage == 1)]
    for _, p in parameters:
        p.requires_grad_(True)
    optimizer = torch.optim.AdamW([p for _, p in parameters], lr=a.learning_rate, weight_decay=0.0)
    steps = a.speed + 1 if a.speed else a.steps
    lr = lambda step: a.learning_rate * 0.5 * (1 + math.cos(math.pi * step / steps))

    def pixels(image):
        data = image["bytes"] if isinstance(image, dict) else image
        return torch.from_numpy(np.ascontiguousarray(tt.preprocess(tt.decode(data), spec.resample, size)))

    count, losses, begun, cached = len(level), [], None, {}
    if "vision" not in trained:  # once, as tamis does
        with torch.no_grad():
            for r in range(min(count, steps * a.batch_size)):
                cached[r] = pooled(model, pixels(table["image"][r])[None])[0]
    for step in range(steps):
        if step == 1:
            begun = time.perf_counter()
        rows = [(step * a.batch_size + i) % count for i in range(a.batch_size)]
        if "vision" in trained:
            features = pooled(model, torch.stack([pixels(table["image"][r]) for r in rows]))
        else:
            features = torch.stack([cached[r] for r in rows])
        for group in optimizer.param_groups:
            group["lr"] = lr(step)
        loss = loss_of(model, a.stage, tok, [table["text"][r] for r in rows], torch.tensor([float(level[r]) for r in rows]), features)
        loss.backward()
        if a.clip:
            nn.utils.clip_grad_norm_([p for _, p in parameters], a.clip)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    out = {"torch": torch.__version__, "threads": torch.get_num_threads(), "losses": losses[: a.steps]}
    if a.speed:
        out["samples_per_second"] = a.speed * a.batch_size / (time.perf_counter() - begun)
    if a.against:
        theirs = load_file(f"{a.against}/model.safetensors")
        lines = [json.loads(line) for line in open(f"{a.against}/metrics.jsonl")]
        out["loss_difference"] = max(abs(x["loss"] - y) for x, y in zip([l for l in lines if "loss" in l], losses, strict=True))
        before = load_file(f"{a.model}/model.safetensors")
        worst = {}
        for name, p in parameters:
            p, q = p.detach(), theirs[name]
            moved = (p - before[name]).abs().max().item() if name in before and before[name].shape == p.shape else float("nan")
            worst[name] = ((p - q).norm() / p.norm().clamp_min(1e-12)).item()
            assert moved != 0 or "k_proj.bias" in name, f"{name} has not moved"
        name = max(worst, key=worst.get)
        out |= {"tensors": len(worst), "largest_relative_difference": worst[name], "of": name}
    print(json.dumps(out))


if __name__ == "__main__":
    main()
