"""make_buckets.py BUCKET…: those of them that are not there yet, in the S3 that the environment names.

Waits for a server that is still starting. The rights to do so are an administrator's, not the worker's.
"""

from __future__ import annotations

import os
import sys
import time

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from worker.config.secrets import s3_keys

PATIENCE_S = 120.0
OURS_ALREADY = ("BucketAlreadyOwnedByYou", "BucketAlreadyExists")


def main(buckets: list[str]) -> None:
    access, secret = s3_keys() or (None, None)
    client = boto3.client(
        "s3",
        endpoint_url=os.environ["AWS_ENDPOINT_URL_S3"],
        region_name="us-east-1",
        aws_access_key_id=access,
        aws_secret_access_key=secret,
        config=Config(s3={"addressing_style": "path"}, connect_timeout=5, retries={"total_max_attempts": 1}),
    )
    deadline = time.monotonic() + PATIENCE_S
    for bucket in buckets:
        while True:
            try:
                client.create_bucket(Bucket=bucket)
                break
            except (BotoCoreError, ClientError) as error:
                code = error.response["Error"]["Code"] if isinstance(error, ClientError) else ""
                if code in OURS_ALREADY:
                    break
                # Refused is refused; anything else may be a server that is not ready.
                if code in ("AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "403"):
                    sys.exit(f"{bucket}: {code}")
                if time.monotonic() > deadline:
                    sys.exit(f"{bucket}: {code or type(error).__name__}")
                time.sleep(1)
        print(f"{bucket}: there")


if __name__ == "__main__":
    main(sys.argv[1:])
