"""Store small objects together: all are recorded in one transaction, sent, and published in another one."""

import threading
from collections.abc import Sequence

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.digests import Digest
from opstore_daemon.savers.bulk import Batch
from opstore_daemon.savers.object_records import NewBlob, ObjectRecords
from opstore_daemon.savers.object_store.client import Bucket
from opstore_daemon.savers.object_store.keys import new_key, object_name


class ObjectBatch(Batch):
    """Objects that are recorded as drafts, and become blobs together."""

    def __init__(self, bucket: Bucket, records: ObjectRecords, digests: Sequence[Digest]) -> None:
        self._bucket, self._records = bucket, records
        self._keys = {digest: new_key() for digest in digests}
        self._stored: list[NewBlob] = []
        self._lock = threading.Lock()
        self._records.begin_all(list(self._keys.values()))

    def put(self, data: bytes, digest: Digest) -> None:
        key = self._keys[digest]
        self._bucket.put(object_name(key), data)
        with self._lock:
            self._stored.append(NewBlob(key, digest, len(data)))

    def finish(self) -> None:
        with self._lock:
            stored, self._stored = self._stored, []
        published = self._records.publish_all(stored)
        if len(published) < len(stored):
            count = len(stored) - len(published)
            raise errors.StorageFailed(reason=f"{count} objects were deleted in {self._bucket.place} as they were sent")
