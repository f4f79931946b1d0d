"""The contract of savers: what each one promises, and what its callers must not assume.

Hashing and checking happen once, around any saver, in the store. A saver may trust the digest that it is given; a
caller must not conclude from an open file that its bytes are the right ones.
"""

import re
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from functools import partial
from typing import BinaryIO, ClassVar, NamedTuple

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.digests import Digest
from opstore_daemon.savers.bulk import Batch, BatchOfOne, FoundBlob
from opstore_daemon.savers.collection_lock import CollectionLock
from opstore_daemon.savers.examination import Irregularity, Stored, Suspect
from opstore_daemon.savers.identity import StorageIdentity
from opstore_daemon.savers.object_records import ObjectRecords

_UPLOAD = re.compile(r"[0-9a-f]{32}")


def check_upload(upload: str) -> str:
    """Return the upload id if it is 32 lower-case hex digits, else raise ValueError. Paths are made of nothing else."""
    if _UPLOAD.fullmatch(upload) is None:
        raise ValueError(f"{upload[:80]!r} is not an upload: it is 32 lower-case hex digits")
    return upload


def is_upload(name: str) -> bool:
    """Return whether the text is an upload id."""
    return _UPLOAD.fullmatch(name) is not None


class BytesLost(Exception):
    """Bytes that a draft had stored are gone: its next draft has a smaller offset, from which they are sent again."""


class Draft(ABC):
    """Bytes that are coming in, in order.

    One writer at a time: the caller makes sure that this process has at most one open draft of an upload. If several
    daemons can use a saver (`BaseSaver.needs_records`), whoever opened the draft last is its writer: each method of
    the earlier ones may raise DraftTaken from then on, also if the draft was discarded, and what they have accepted
    and not stored never counts.

    Failures raise StorageFull if there is no space left, else StorageFailed; a closed draft raises ValueError. A draft
    that failed to store bytes that it had accepted is unusable: the next one has those that are stored.
    """

    needs_seal: ClassVar[bool] = False
    """Whether its bytes can be read only after `seal`, so that they are hashed as they pass, and append may wait."""

    @property
    @abstractmethod
    def offset(self) -> int:
        """The number of bytes that it has accepted. After close(), those that it has stored.

        Stored bytes survive the end of the process, even `kill -9`. After a power failure a folder may have fewer of
        them, or other ones: hash them again before you resume a draft.
        """

    def expect(self, size: int | None) -> None:
        """Learn how many bytes there will be in total, None if that is unknown, before the first append."""
        del size

    @abstractmethod
    def append(self, data: bytes | bytearray | memoryview) -> None:
        """Accept all of `data` at the offset, or none of it: if it raises, the offset is unchanged.

        The caller may reuse the buffer when it returns. It waits unless `is_ready`. After StorageFull the same data may
        be appended once more. After a seal or the first publish, even a failed one, appending raises StorageFailed.
        Nothing is promised to survive a power failure before publish() has returned.
        """

    def is_ready(self) -> bool:
        """Return whether it can append READ_SIZE bytes without waiting for the storage or for memory. Never waits."""
        return True

    def when_ready(self, call: Callable[[], None]) -> None:
        """Call the function once, when append need not wait any more: at once, or later from any thread.

        Also when append would raise: that need not wait either. Never waits.
        """
        call()

    def wait_ready(self) -> None:
        """Wait until append need not wait."""
        ready = threading.Event()
        self.when_ready(ready.set)
        ready.wait()

    def flush(self) -> None:
        """Store all accepted bytes, so that they survive the end of the process: before an offset is reported.

        A draft that stores what it accepts has nothing to do.
        """
        return

    @abstractmethod
    def seal(self) -> None:
        """Accept no more bytes, and make those that were accepted readable. A second call does nothing.

        If they had to be stored for that, they are, and the next draft is sealed too. Raises BytesLost.
        """

    @abstractmethod
    def read_at(self, offset: int, buffer: memoryview) -> int:
        """Fill the buffer with accepted bytes from `offset` on, and return how many bytes were read.

        They may be fewer than the buffer holds, but at least one. If it `needs_seal`, call that first. Else any thread
        may read while another appends: this is how the bytes are hashed.
        """

    @abstractmethod
    def publish(self, digest: Digest) -> None:
        """Make the bytes whole and durable under the digest; raises InvalidDigest and BytesLost too.

        The draft stays until it is discarded, so that a caller that crashes before its own commit can publish again: a
        second publish succeeds, even of a draft that was reopened after a crash in the middle. An existing blob counts
        as just published (`published_at`); if its bytes differ because they were damaged, it is replaced.

        If it raises, conclude nothing: the blob may exist or not (and another draft may rely on it by then), but never
        a part of it. If the disk may not hold what was written, the draft is unusable: every later append and publish
        raises StorageFailed, and the upload's next draft has what can be trusted, which may be nothing. A concurrent
        delete of the same digest may win: check again before you rely on the blob, at a time when no delete can run.
        """

    def is_current(self) -> bool:
        """Return whether it is still the writer of its upload, and the upload was not discarded. May wait.

        Always True in a saver that only one daemon can use.
        """
        return True

    @abstractmethod
    def close(self) -> None:
        """Release what is open and in memory. What is stored stays, and the draft can be reopened.

        Never waits. Closing twice is allowed.
        """


class Trashed(NamedTuple):
    """A blob in the trash: its digest, its size in bytes, and when it was moved there (seconds since the epoch)."""

    digest: Digest
    size: int
    trashed_at: float


class Quarantined(NamedTuple):
    """What was moved out of the place of a blob: its name, its size in bytes, and when (seconds since the epoch)."""

    name: str
    size: int
    moved_at: float


class BaseSaver(StorageIdentity, ABC):
    """Immutable bytes by digest, and the drafts that become them.

    Many threads may call its methods at once. Failures raise StorageFull if there is no space left, else
    StorageFailed; an invalid digest raises InvalidDigest, an invalid upload id ValueError.
    """

    needs_records: ClassVar[bool] = False
    """Whether the database has to record its objects: then `attach` is called before anything else."""

    def attach(self, records: ObjectRecords) -> None:
        """Use these records from now on; a saver that needs none ignores them."""

    outlives_process: ClassVar[bool] = True
    """Whether the blobs are still there after the end of the process. With a database in memory, nothing that outlives
    it is ever collected."""

    max_size: ClassVar[int | None] = None
    """The largest blob that it can store, in bytes; None if only the space decides."""

    @property
    @abstractmethod
    def collection_lock(self) -> CollectionLock:
        """The lock that keeps collectors away from this storage, also those of other processes that can see it."""

    @abstractmethod
    def draft(self, upload: str) -> Draft:
        """Return the draft of the upload: a new one, or the existing one at its offset.

        A caller must not assume that it is new, nor that a known upload still has its bytes. If several daemons can use
        the saver, the caller is the writer from now on.
        """

    def put(self, data: bytes, digest: Digest, upload: str) -> None:
        """Make a blob of bytes that are in memory, with the promises of `Draft.publish`.

        `upload` is an id that nobody else uses, for a draft that exists meanwhile. If a crash leaves it, discard it.
        """
        try:
            with closing(self.draft(upload)) as draft:
                draft.append(data)
                draft.publish(digest)
        finally:
            self.discard(upload)

    def batch(self, digests: Sequence[Digest]) -> Batch:
        """Begin to store these blobs, which are different and small enough for memory, together."""
        del digests
        return BatchOfOne(self.put)

    def prepare(self, data: bytes, digest: Digest, upload: str) -> Callable[[], bool]:
        """Store bytes that are in memory, and return the function that makes them a blob, as `put` does.

        Call it in the transaction that needs the blob: if the store's database records the objects of the saver, it is
        a change in that transaction. It returns False, or raises Collided, if the bytes have to be stored again.
        """
        self.put(data, digest, upload)
        return lambda: digest in self

    @abstractmethod
    def drafts(self) -> Iterator[str]:
        """Return the uploads that have a draft, in any order. None is missed that existed throughout the call."""

    @abstractmethod
    def staged_size(self, upload: str) -> int:
        """Return how many bytes the draft of the upload has stored, 0 if there is none; never creates one.

        For an open draft it may be behind by what is being appended.
        """

    @abstractmethod
    def discard(self, upload: str) -> None:
        """Delete the draft and all its traces; does nothing if there is none. Never touches a published blob.

        Close a draft that was open meanwhile; it can't publish any more.
        """

    @abstractmethod
    def open(self, digest: Digest) -> BinaryIO:
        """Open the blob for reading: seekable, at 0, with a position of its own; raises BlobNotFound.

        An open blob stays readable to its end even if it is deleted or replaced. Reading raises StorageFailed. The
        bytes may be damaged: hash them.
        """

    @abstractmethod
    def __contains__(self, digest: object) -> bool:
        """Return whether publish() has stored a blob with that digest; False for anything that is not a digest."""

    @abstractmethod
    def size(self, digest: Digest) -> int:
        """Return the size in bytes; raises BlobNotFound."""

    def find(self, digests: Sequence[Digest]) -> Mapping[Digest, FoundBlob]:
        """Return those of the digests that the saver has, and how to open each without looking for it again."""
        found = {}
        for digest in digests:
            with suppress(errors.BlobNotFound):
                found[digest] = FoundBlob(self.size(digest), partial(self.open, digest))
        return found

    @abstractmethod
    def published_at(self, digest: Digest) -> float:
        """Return when it was last published, in seconds since the epoch by the saver's clock; raises BlobNotFound.

        Its only use is that a collector skips blobs that a push may rely on.
        """

    @abstractmethod
    def delete(self, digest: Digest) -> None:
        """Delete the blob for good; does nothing if there is none. After a power failure it may be back."""

    @abstractmethod
    def __iter__(self) -> Iterator[Digest]:
        """Yield each digest once, in any order. Blobs published or deleted meanwhile may or may not be included."""

    @abstractmethod
    def trash(self, digest: Digest) -> None:
        """Move the blob to the trash, where it is no blob any more; does nothing if there is none.

        It replaces an earlier blob of that digest in the trash. After a power failure it may be a blob again.
        Publishing the same bytes again leaves the trash as it is.
        """

    @abstractmethod
    def trashed(self) -> Iterator[Trashed]:
        """Return what is in the trash, in any order. What is moved there or purged meanwhile may be missing."""

    @abstractmethod
    def purge(self, digest: Digest) -> None:
        """Delete the bytes in the trash for good; does nothing if there are none. Never touches a blob."""

    def discard_leftovers(self, before: float, *, dry_run: bool) -> Iterator[int]:
        """Delete what interrupted requests left in the storage and nobody needs; yield the bytes of each (0: unknown).

        Only what was left before that time, in seconds since the epoch: a courtesy to requests that still run. Never
        touches a blob, the trash or the draft of an upload. `dry_run`: only yield.
        """
        del before, dry_run
        return iter(())

    def free(self) -> int | None:
        """Return roughly how many bytes can still be stored, None if unknown; they may still not fit."""
        return None

    def check_reachable(self) -> None:
        """Raise StorageFailed if storage of this daemon alone does not respond: another one should get its requests.

        May take long: whoever asks has a timeout.
        """
        self.free()

    def has_blobs(self) -> bool:
        """Return whether there is any blob."""
        return next(iter(self), None) is not None

    def content(self) -> str | None:
        """Return in words what one thing in the storage is, whoever put it there; None if it is empty.

        Asked before storage that no store has claimed is filled.
        """
        if self.has_blobs():
            return "blobs are there, of no known store"
        if next(iter(self.drafts()), None) is not None:
            return "unfinished uploads are there"
        if next(iter(self.trashed()), None) is not None:
            return "collected blobs are there"
        for part in self.parts():
            for found in self.survey(part):
                if not isinstance(found, Irregularity):
                    return f"{found} is there"
                if found.kind == "foreign":
                    return f"{found.what} is there"
        return None

    # What `fsck` uses. With these defaults the blobs can be checked, and damaged ones stay where they are.

    def examine(self, digest: Digest) -> Stored:
        """Return what is at the place of the blob, without reading it; raise BlobNotFound if nothing is there."""
        return Stored(self.size(digest), None, repr(self.published_at(digest)))

    def parts(self) -> Sequence[str]:
        """Return the names of the parts that `survey` looks at one by one, in ascending order."""
        return ("all",)

    survey_compares: ClassVar[bool] = False
    """Whether `survey` yields a Suspect for each blob that `find` returns and that is gone, or has another size.

    Then blobs need not be examined one by one to know that they are there."""

    def survey(self, part: str) -> Iterator[Digest | Suspect | Irregularity]:
        """Yield each blob in this part of the storage, and whatever else should not be there, or not as it is.

        What is published, deleted or moved meanwhile may or may not be included. It need not look at drafts. Memory
        does not grow with the number of blobs.
        """
        assert part in self.parts()  # noqa: S101 - the caller has it from there
        return iter(self)

    def quarantine(self, digest: Digest, state: str) -> bool:
        """Move what is at the place of the blob out of the way if it still has that state; return whether it did.

        What was moved is kept for a while, but is no blob any more, and nothing is at the place of the blob. False: it
        has changed or is gone, or this saver can't do that. Raises StorageFailed.
        """
        del state
        Digest.parse(digest)
        return False

    def quarantined(self) -> Iterator[Quarantined]:
        """Return what `quarantine` has moved away and kept, in any order; nothing in a saver that keeps none of it."""
        return iter(())

    def purge_quarantined(self, name: str) -> None:
        """Delete what is in quarantine under that name for good; does nothing if there is none."""
        del name
