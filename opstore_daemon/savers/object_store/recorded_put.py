"""Store the bytes of an object whose key is recorded."""

from contextlib import suppress

from opstore_daemon.protocol import errors
from opstore_daemon.savers.object_records import ObjectRecords
from opstore_daemon.savers.object_store.client import Bucket
from opstore_daemon.savers.object_store.keys import object_name


def put_recorded(bucket: Bucket, records: ObjectRecords, key: str, data: bytes | bytearray) -> None:
    """Store the object of the key, which is recorded as a draft; raise what `Bucket.put` raises.

    After a failure its delete is left to a collection: the request may arrive later.
    """
    try:
        bucket.put(object_name(key), data)
    except BaseException:
        with suppress(errors.OpStoreError):
            records.move(key, "draft", "deleting")
        raise
