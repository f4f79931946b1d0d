"""Create the bucket that the command line names, unless it is there: for the S3 server of compose.yaml."""

import sys

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

THERE = ("BucketAlreadyOwnedByYou", "BucketAlreadyExists")


def main(bucket: str) -> None:
    # A server that has just started answers after some seconds.
    client = boto3.client("s3", config=Config(retries={"total_max_attempts": 10}, s3={"addressing_style": "path"}))
    try:
        client.create_bucket(Bucket=bucket)
    except ClientError as error:
        if error.response["Error"]["Code"] not in THERE:
            raise


if __name__ == "__main__":
    main(sys.argv[1])
