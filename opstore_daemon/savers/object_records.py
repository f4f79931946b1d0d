"""What the database records for a saver whose blobs are objects in an object store.

An object store has no rename, and a delete may arrive late. So the key of an object is random, and the database says
what an object is: every object is recorded before the request that creates it, and none is found by listing. A saver
gets the records by `BaseSaver.attach`; opstore_daemon.store.object_records keeps them in the store's database.

A method of the records is one short transaction, which is durable when it returns. If the thread is inside of a
transaction of the store, it becomes part of that one, and is durable with it. Failures raise DatabaseFailed.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from opstore_daemon.protocol.digests import Digest

State = Literal["draft", "blob", "trash", "quarantine", "deleting"]


@dataclass(frozen=True, slots=True)
class ObjectRecord:
    """An object: its random key (32 lower-case hex digits), what it is, and since when (seconds since the epoch).

    `digest` and `size` (in bytes) are None for an object that was never a blob.
    """

    key: str
    state: State
    digest: Digest | None
    size: int | None
    at: float


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a multipart upload, as the object store has acknowledged it. `number` counts from 1, without gaps."""

    number: int
    size: int
    etag: str
    checksum: str


@dataclass(frozen=True, slots=True)
class DraftRecord:
    """An upload in the object store: the object that it becomes, and the bytes that it has.

    `size` counts the bytes in the parts and in the tail, an object of its own for those that are too few for a part.
    `fence` is the number of its newest writer. Once it is `sealed`, the object `key` has all of the bytes.
    """

    upload: str
    key: str
    multipart: str | None
    size: int
    tail_key: str | None
    tail_size: int
    fence: int
    sealed: bool
    parts: tuple[Part, ...]


class Discarded(NamedTuple):
    """What a draft leaves in the object store: its multipart upload, and objects that are now `deleting`.

    `key` is that of the multipart upload, which is done if the draft was `sealed`. It is not among the `objects` if it
    is a blob.
    """

    key: str
    multipart: str | None
    sealed: bool
    objects: Sequence[str]


class InTrash(NamedTuple):
    """All objects of a digest in the trash: their bytes together, and when the newest of them was moved there."""

    digest: Digest
    size: int
    at: float


class NewBlob(NamedTuple):
    """An object that is complete, and the digest and the size in bytes of its blob."""

    key: str
    digest: Digest
    size: int


class DraftTaken(Exception):
    """Another writer has taken the draft over, or it was discarded: what this one has sent does not count."""


class Collided(Exception):
    """Another daemon changed the same records at the same moment: the transaction has to be repeated."""


class ObjectRecords(ABC):
    """The records of all objects of one store."""

    @property
    @abstractmethod
    def in_transaction(self) -> bool:
        """Whether this thread is inside of a transaction of the store, which may be rolled back."""

    # --- drafts -------------------------------------------------------------------------------------------------------

    @abstractmethod
    def take(self, upload: str) -> DraftRecord:
        """Return the draft of the upload, a new one if there is none, and make the caller its only writer.

        From then on, what earlier writers record raises DraftTaken: `fence` is one more than theirs.
        """

    @abstractmethod
    def draft(self, upload: str) -> DraftRecord | None:
        """Return the draft of the upload without taking it; None if there is none."""

    @abstractmethod
    def fence(self, upload: str) -> int | None:
        """Return the fence of the draft's newest writer; None if there is no draft."""

    @abstractmethod
    def draft_of(self, key: str) -> DraftRecord | None:
        """Return the draft that becomes the object; None if there is none."""

    @abstractmethod
    def drafts(self) -> Iterator[str]:
        """Yield the uploads that have a draft. None is missed that existed throughout the call."""

    @abstractmethod
    def begin_multipart(self, upload: str, fence: int, multipart: str) -> None:
        """Record the id of the draft's multipart upload, which has no part yet. Raises DraftTaken."""

    def add_part(self, upload: str, fence: int, part: Part) -> None:
        """Do what `add_parts` does with one part."""
        self.add_parts(upload, fence, (part,))

    @abstractmethod
    def add_parts(self, upload: str, fence: int, parts: Sequence[Part]) -> None:
        """Record parts that follow the others, and have the bytes of the tail, too: there is no tail any more.

        The object of the tail stays recorded as a draft, for `forget` after its delete. Raises DraftTaken.
        """

    @abstractmethod
    def set_tail(self, upload: str, fence: int, tail_key: str, tail_size: int) -> None:
        """Record the object that has the bytes behind the last part, in place of the one before. Raises DraftTaken.

        That one stays recorded as a draft.
        """

    @abstractmethod
    def drop_parts(self, upload: str, fence: int, first: int) -> None:
        """Forget the parts from the number `first` on, and the tail: the object store has others. Raises DraftTaken.

        Without any part, it also forgets the multipart upload. The object of the tail stays recorded as a draft.
        """

    @abstractmethod
    def seal(self, upload: str, fence: int) -> DraftRecord:
        """Record that all bytes of the draft are in its object, and return it. Raises DraftTaken.

        Without parts, the tail is that object from then on, and there is no multipart upload.
        """

    @abstractmethod
    def discard(self, upload: str) -> Discarded | None:
        """Forget the draft; its objects that are still drafts are `deleting` now. None if there is no draft."""

    # --- objects ------------------------------------------------------------------------------------------------------

    @abstractmethod
    def begin(self, key: str) -> None:
        """Record a new object as a draft, before the request that creates it."""

    @abstractmethod
    def publish(self, key: str, digest: Digest, size: int) -> bool:
        """Make the object, which is complete, the blob of the digest; another blob of the digest moves to the trash.

        An object in the trash is a blob again then. Return False if the object may not be used any more, because
        somebody deletes it. Inside of a transaction of the store, raises Collided.
        """

    @abstractmethod
    def begin_all(self, keys: Sequence[str]) -> None:
        """Record new objects as drafts, as `begin` does."""

    @abstractmethod
    def publish_all(self, blobs: Sequence[NewBlob]) -> set[str]:
        """Make blobs of different digests, as `publish` does; return the keys of those that may be used."""

    @abstractmethod
    def blob(self, digest: Digest) -> ObjectRecord | None:
        """Return the blob of the digest, or None."""

    @abstractmethod
    def blobs(self, digests: Sequence[Digest]) -> Mapping[Digest, ObjectRecord]:
        """Return those of the digests that have a blob, with it."""

    @abstractmethod
    def find(self, state: State, after: str, limit: int) -> Sequence[ObjectRecord]:
        """Return objects in that state by key, at most `limit` after the key `after`."""

    @abstractmethod
    def of(self, digest: Digest, state: State) -> Sequence[ObjectRecord]:
        """Return the objects of the digest in that state."""

    @abstractmethod
    def trashed(self, after: str, limit: int) -> Sequence[InTrash]:
        """Return what is in the trash by digest, at most `limit` after the digest `after`."""

    @abstractmethod
    def between(self, after: str, until: str, limit: int) -> Sequence[ObjectRecord]:
        """Return objects in any state by key, at most `limit` after the key `after`, up to the key `until`."""

    @abstractmethod
    def recorded(self, keys: Sequence[str]) -> set[str]:
        """Return those of the keys that are recorded."""

    @abstractmethod
    def leftovers(self, before: float, after: str, limit: int) -> Sequence[ObjectRecord]:
        """Return objects that nothing needs and that have been so since `before` (seconds since the epoch), by key.

        They are `deleting`, or drafts that belong to no upload: what an interrupted request left.
        """

    @abstractmethod
    def move(self, key: str, before: State, after: State) -> bool:
        """Change the state of an object, as of now; return whether it had the state `before`, and has `after` now.

        An object that belongs to an upload is never `deleting`: it is a draft again instead, and this returns False.
        """

    @abstractmethod
    def forget(self, *keys: str) -> None:
        """Forget objects that are `deleting`, or drafts of no upload, once the object store has them no more."""
