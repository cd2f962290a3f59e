"""Pictures of single things of the kept-back style with texts that no rule wrote: names, Unicode's keywords, sentences by hand."""

import pathlib
import random

import pyarrow as pa
import pyarrow.parquet as pq

import art
from scenes import Composer

SCHEMA = pa.schema([
    pa.field("uid", pa.string(), nullable=False),
    ("image", pa.binary()),
    ("text", pa.string()),
    ("level", pa.int32()),
    ("wording", pa.string()),
    ("split", pa.string()),
])


def sentences(objects, path=pathlib.Path(__file__).parent / "sentences.txt"):
    """The sentences of the objects given; a name that is no object's is an error."""
    known = {thing.name: thing for thing in objects}
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    for line in lines:
        name, _, text = line.partition(": ")
        if name not in known:
            raise SystemExit(f"{path}: {name!r} is no object of objects.txt")
        yield known[name], text


def keywords(drawings, thing, source):
    """Unicode's own words for a code point, as a list."""
    words = [word for word in drawings.keywords(thing.codes[0]) if word != thing.name]
    source.shuffle(words)
    return source.choice([", ", " | ", " "]).join([thing.name, *words[: source.randint(2, 6)]])


def texts(state, count, source):
    """Things and texts that are right for them."""
    trained = {thing.name for thing in state["trained"]}
    for thing, text in sentences([*state["trained"], *state["kept"]]):
        if thing.name in trained:
            yield thing, text, "sentence"
    for thing in source.sample(state["trained"], min(count, len(state["trained"]))):
        yield thing, source.choice([thing.name, thing.name, thing.name.capitalize(), *thing.names]), "name"
    for thing in source.sample(state["trained"], min(count, len(state["trained"]))):
        yield thing, keywords(state["art"], thing, source), "keywords"


def write(path, state, args):
    """Each text twice: with a picture of its thing, and with one of a thing of another kind."""
    source = random.Random(f"{args.seed} wording")
    composer = Composer(state["art"], state["trained"], [art.KEPT_BACK], [], state["side"], f"{args.seed} test-wording")
    rows = []
    for number, (thing, text, wording) in enumerate(texts(state, args.tests // 2, source)):
        others = [o for o in state["trained"] if not set(o.keywords) & set(thing.keywords) and o.name not in text.lower()]
        for level, shown in ((3, thing), (0, source.choice(others))):
            image = composer.single(shown)
            uid = f"test-wording-{number:04}-{level}"
            rows.append({"uid": uid, "image": image, "text": text, "level": level, "wording": wording, "split": "test"})
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), path, compression="zstd")
    print(f"{path}: {len(rows)} rows", flush=True)
