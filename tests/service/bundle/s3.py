"""An S3 on loopback: moto's server in a process of its own."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
import pytest
import s3fs

SECRET = "never-in-a-log-0123456789"
BUCKET = "models"


@contextmanager
def s3_server(environment: pytest.MonkeyPatch) -> Iterator["subprocess.Popen[str]"]:
    """Start it and point the environment, which child processes inherit, at it; one bucket."""
    command = [sys.executable, "-u", "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stderr is not None
            address = next(found[0] for line in process.stderr if (found := re.search(r"http://127\S+", line)))
            for name, value in {
                "AWS_ACCESS_KEY_ID": "nobody",
                "AWS_SECRET_ACCESS_KEY": SECRET,
                "AWS_DEFAULT_REGION": "us-east-1",
                "AWS_ENDPOINT_URL": address,
                "AWS_EC2_METADATA_DISABLED": "true",
            }.items():
                environment.setenv(name, value)
            for name in [name for name in os.environ if name.lower() in {"http_proxy", "https_proxy", "all_proxy"}]:
                environment.delenv(name)
            s3fs.S3FileSystem.clear_instance_cache()  # its clients know the address of the server before
            client().create_bucket(Bucket=BUCKET)
            yield process
        finally:
            process.kill()


def client() -> Any:
    """A plain S3 client, to do to a bucket what our code would not."""
    return boto3.client("s3")
