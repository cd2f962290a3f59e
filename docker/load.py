"""Makes the bucket and puts the example corpus into it. Running it again changes nothing.

The usual variables say where the store is and what opens it: AWS_ENDPOINT, AWS_REGION, AWS_ACCESS_KEY_ID,
AWS_SECRET_ACCESS_KEY. TAMIS_LOAD_FROM is the folder of the files, TAMIS_LOAD_INTO the bucket.
"""

import os
import sys
import time
from pathlib import Path

import boto3
from botocore.client import Config
from botocore.exceptions import BotoCoreError, ClientError

# The store answers its health check a moment before it can take a bucket.
PATIENCE_SECONDS = 60


def make_bucket(s3, bucket: str) -> None:
    began = time.monotonic()
    while True:
        try:
            s3.create_bucket(Bucket=bucket)
            return
        except (ClientError, BotoCoreError) as error:
            code = getattr(error, "response", {}).get("Error", {}).get("Code", "")
            if code in ("BucketAlreadyOwnedByYou", "BucketAlreadyExists"):
                return
            if time.monotonic() - began > PATIENCE_SECONDS:
                raise
            time.sleep(1)


def main() -> int:
    folder, bucket = Path(os.environ["TAMIS_LOAD_FROM"]), os.environ["TAMIS_LOAD_INTO"]
    s3 = boto3.client(
        "s3",
        endpoint_url=os.environ["AWS_ENDPOINT"],
        region_name=os.environ["AWS_REGION"],
        # A bucket is a folder of the URL: there is no name server for buckets here.
        config=Config(s3={"addressing_style": "path"}, connect_timeout=5, read_timeout=30),
    )
    make_bucket(s3, bucket)
    files = sorted(folder.glob("*.parquet"))
    if not files:
        print(f"no Parquet files in {folder}", file=sys.stderr)
        return 1
    for file in files:
        s3.upload_file(str(file), bucket, f"corpus/{file.name}")
        print(f"s3://{bucket}/corpus/{file.name}: {file.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
