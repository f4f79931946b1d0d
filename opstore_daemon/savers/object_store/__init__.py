"""A saver whose blobs are objects in an S3-compatible object store. It imports boto3, so import it only for s3://."""

from opstore_daemon.savers.object_store.saver import S3Saver

__all__ = ["S3Saver"]
