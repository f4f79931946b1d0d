"""A saver in a bucket of an S3-compatible object store, whose objects the store's database records.

The key of an object is random. What an object is (a blob, in the trash, on its way), the database alone says: moving a
blob to the trash changes a row and no object, and a delete that arrives late never hits a newer object of the same
bytes. Nothing is found by listing the bucket, except by `survey`.
"""

import io
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache, partial
from typing import BinaryIO, cast

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.digests import Digest
from opstore_daemon.savers.base import BaseSaver, Draft, Quarantined, Trashed, check_upload
from opstore_daemon.savers.bulk import Batch, FoundBlob
from opstore_daemon.savers.collection_lock import ProcessCollectionLock
from opstore_daemon.savers.direct import DIRECT_ON
from opstore_daemon.savers.examination import Irregularity, Stored, Suspect
from opstore_daemon.savers.object_records import ObjectRecord, ObjectRecords, State
from opstore_daemon.savers.object_store.assembly import Assembly
from opstore_daemon.savers.object_store.batch import ObjectBatch
from opstore_daemon.savers.object_store.buffers import Budget, budget
from opstore_daemon.savers.object_store.client import Bucket
from opstore_daemon.savers.object_store.direct_parts import DirectParts
from opstore_daemon.savers.object_store.draft import ObjectDraft
from opstore_daemon.savers.object_store.identity import BucketIdentity
from opstore_daemon.savers.object_store.keys import OBJECTS, PARTS, is_key, object_name
from opstore_daemon.savers.object_store.leftovers import Leftovers
from opstore_daemon.savers.object_store.parts import MAX_SIZE
from opstore_daemon.savers.object_store.place import Place
from opstore_daemon.savers.object_store.reader import BUFFER, ObjectReader
from opstore_daemon.savers.object_store.recorded_put import put_recorded
from opstore_daemon.savers.object_store.reserved_keys import ReservedKeys
from opstore_daemon.savers.object_store.survey import Survey

THREADS = 16  # that send parts, of all savers of this process
PAGE = 500  # records that one query returns
PUBLISH_TRIES = 3


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(THREADS, thread_name_prefix="opstore-parts")


@cache
def _collection_lock(endpoint: str, place: Place) -> ProcessCollectionLock:
    # Collectors of other daemons need none: each moves blobs under the lock of the database, and no bytes for days.
    del endpoint, place
    return ProcessCollectionLock()


class S3Saver(BaseSaver):
    """Blobs as objects in the bucket and under the prefix of the URL s3://BUCKET/PREFIX. The bucket has to exist.

    Endpoint, region and credentials are found as AWS's programs find them. `OpStoreServer` attaches the records.
    """

    carries_id = True
    needs_records = True
    survey_compares = True
    is_shared = True
    max_size = MAX_SIZE

    def __init__(
        self,
        url: str,
        *,
        endpoint: str | None = None,
        region: str | None = None,
        memory: Budget = budget,
        direct: str | None = None,
    ) -> None:
        """`endpoint` and `region`: instead of those of the environment. Sends no request; raises InvalidSetting.

        `direct`: where clients reach the object store, to read blobs and send parts past the daemon: `on`, at the
        endpoint of the daemon, or the URL of the object store for them. None: they don't.
        """
        self._bucket = Bucket(Place.parse(url), endpoint, region)
        # With the endpoint of the clients: the host that they name is a part of the signature.
        public = endpoint if direct == DIRECT_ON else direct
        self._public = None if direct is None else Bucket(Place.parse(url), public, region)
        self._memory, self._pool = memory, _pool()
        self._identity = BucketIdentity(self._bucket, self._pool)
        self._collection_lock = _collection_lock(self._bucket.endpoint, self._bucket.place)
        self._attached: ObjectRecords | None = None
        self._keys = ReservedKeys(lambda: self._records)
        self._drafts: weakref.WeakValueDictionary[str, ObjectDraft] = weakref.WeakValueDictionary()

    @property
    def bucket(self) -> Bucket:
        """The requests to the bucket."""
        return self._bucket

    def attach(self, records: ObjectRecords) -> None:
        self._attached = records

    @property
    def _records(self) -> ObjectRecords:
        if self._attached is None:
            raise RuntimeError("the saver has no records: attach them first")
        return self._attached

    # --- bytes coming in ----------------------------------------------------------------------------------------------

    def draft(self, upload: str) -> Draft:
        check_upload(upload)
        earlier = self._drafts.get(upload)
        if earlier is not None:
            earlier.settle()  # a part that it sends would overwrite one of ours
        assembly = Assembly(self._bucket, self._records, self._records.take(upload))
        direct = None if self._public is None else DirectParts(self._public, assembly)
        draft = self._drafts[upload] = ObjectDraft(self._bucket, assembly, self._pool, self._memory, direct)
        return draft

    def put(self, data: bytes, digest: Digest, upload: str) -> None:
        """Store the bytes by one request, and no draft."""
        for _ in range(PUBLISH_TRIES):
            if self.prepare(data, digest, upload)():
                return
        reason = f"{digest} was stored {PUBLISH_TRIES} times and deleted each time"
        raise errors.StorageFailed(reason=reason)

    def batch(self, digests: Sequence[Digest]) -> Batch:
        return ObjectBatch(self._bucket, self._records, digests)

    def prepare(self, data: bytes, digest: Digest, upload: str) -> Callable[[], bool]:
        """Store the bytes by one request. If nobody makes them a blob, they are left to a collection."""
        del upload
        digest, key = Digest.parse(digest), self._keys.take()
        put_recorded(self._bucket, self._records, key, data)

        def publish() -> bool:
            is_published = self._records.publish(key, digest, len(data))
            if not is_published:
                self._keys.drop()
            return is_published

        return publish

    def drafts(self) -> Iterator[str]:
        return self._records.drafts()

    def staged_size(self, upload: str) -> int:
        found = self._records.draft(check_upload(upload))
        return 0 if found is None else found.size

    def discard(self, upload: str) -> None:
        found = self._records.discard(check_upload(upload))
        if found is None:
            return
        if found.multipart is not None and not found.sealed:
            self._bucket.abort(object_name(found.key), found.multipart)
        for key in found.objects:
            if key != found.key or found.sealed or found.multipart is not None:  # else it was never made
                self._bucket.delete(object_name(key))
            self._records.forget(key)

    # --- blobs --------------------------------------------------------------------------------------------------------

    def open(self, digest: Digest) -> BinaryIO:
        return self._open(self._blob(digest))

    def find(self, digests: Sequence[Digest]) -> Mapping[Digest, FoundBlob]:
        found = self._records.blobs(digests)
        return {digest: FoundBlob(each.size or 0, partial(self._open, each)) for digest, each in found.items()}

    def _open(self, found: ObjectRecord) -> BinaryIO:
        reader = ObjectReader(self._bucket, object_name(found.key), found.size or 0)
        return cast(BinaryIO, io.BufferedReader(reader, BUFFER))

    def direct_url(self, digest: Digest, seconds: int) -> str | None:
        if self._public is None:
            return None
        return self._public.presigned("get_object", object_name(self._blob(digest).key), seconds)

    def __contains__(self, digest: object) -> bool:
        if not isinstance(digest, str):
            return False
        try:
            return self._records.blob(Digest.parse(digest)) is not None
        except errors.InvalidDigest:
            return False

    def size(self, digest: Digest) -> int:
        return self._blob(digest).size or 0

    def published_at(self, digest: Digest) -> float:
        return self._blob(digest).at

    def _blob(self, digest: Digest) -> ObjectRecord:
        found = self._records.blob(Digest.parse(digest))
        if found is None:
            raise errors.BlobNotFound(digest=digest)
        return found

    def delete(self, digest: Digest) -> None:
        found = self._records.blob(Digest.parse(digest))
        if found is not None:
            self._delete(found.key, "blob")

    def _delete(self, key: str, before: State) -> None:
        """Delete an object for good if it has that state."""
        if self._records.move(key, before, "deleting") and not self._records.in_transaction:
            # Never before the commit: after a rollback the object would still be a blob. A collection does it then.
            self._bucket.delete(object_name(key))
            self._records.forget(key)

    def __iter__(self) -> Iterator[Digest]:
        for found in self._in_state("blob"):
            if found.digest is not None:
                yield found.digest

    def _in_state(self, state: State) -> Iterator[ObjectRecord]:
        after: str | None = ""
        while after is not None:
            page = self._records.find(state, after, PAGE)
            yield from page
            after = page[-1].key if len(page) == PAGE else None

    def check_reachable(self) -> None:
        """Do nothing: all daemons lose an object store at once, and verdicts do not need it."""

    def has_blobs(self) -> bool:
        # By listing: asked before it is clear that the database is the one of these objects.
        return next(self._bucket.listing(OBJECTS, 1), None) is not None

    def content(self) -> str | None:
        found = next(self._bucket.listing("", 1), None)
        return None if found is None else f"the object {found.name} is there"

    # --- the trash ----------------------------------------------------------------------------------------------------

    @property
    def collection_lock(self) -> ProcessCollectionLock:
        return self._collection_lock

    def trash(self, digest: Digest) -> None:
        found = self._records.blob(Digest.parse(digest))
        if found is not None:
            self._records.move(found.key, "blob", "trash")

    def trashed(self) -> Iterator[Trashed]:
        after: str | None = ""
        while after is not None:
            page = self._records.trashed(after, PAGE)
            yield from (Trashed(*each) for each in page)
            after = page[-1].digest if len(page) == PAGE else None

    def purge(self, digest: Digest) -> None:
        for found in self._records.of(Digest.parse(digest), "trash"):
            self._delete(found.key, "trash")

    def discard_leftovers(self, before: float, *, dry_run: bool) -> Iterator[int]:
        return Leftovers(self._bucket, self._records).discard(before, dry_run=dry_run)

    # --- examination --------------------------------------------------------------------------------------------------

    def examine(self, digest: Digest) -> Stored:
        found = self._blob(digest)
        head = self._bucket.head(object_name(found.key))
        if head is None:
            raise errors.BlobNotFound(digest=digest)
        return Stored(head.size, None, f"{found.key}-{head.etag}")

    def parts(self) -> Sequence[str]:
        return PARTS

    def survey(self, part: str) -> Iterator[Digest | Suspect | Irregularity]:
        return Survey(self._bucket, self._records).look(part)

    def quarantine(self, digest: Digest, state: str) -> bool:
        try:
            if self.examine(digest).state != state:
                return False
        except errors.BlobNotFound:
            return False
        return self._records.move(state.partition("-")[0], "blob", "quarantine")

    def quarantined(self) -> Iterator[Quarantined]:
        return (Quarantined(each.key, each.size or 0, each.at) for each in self._in_state("quarantine"))

    def purge_quarantined(self, name: str) -> None:
        if is_key(name):
            self._delete(name, "quarantine")

    # --- whose objects they are ---------------------------------------------------------------------------------------

    def place(self) -> str:
        return str(self._bucket.place)

    def acquire(self, home: str | None = None) -> None:
        """Look up whose objects they are. Nothing is locked: several daemons of one database share the bucket."""
        self._identity.store_id()

    def release(self) -> None:
        with suppress(errors.OpStoreError, RuntimeError):  # a collection does it
            self._keys.give_back()
        self._identity.close()

    def store_id(self) -> str | None:
        return self._identity.store_id()

    def claim(self, store_id: str) -> None:
        self._identity.claim(store_id)

    def position(self) -> int:
        return self._identity.position()

    def record_position(self, position: int) -> None:
        self._identity.record_position(position)
