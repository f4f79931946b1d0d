"""What the database records for a saver whose blobs are objects in an object store.

An object store has no rename, and a delete may arrive late. So the key of an object is random, and the database says
what an object is: every object is recorded before the request that creates it, and none is found by listing. A saver
gets the records by `BaseSaver.attach`; opstore_daemon.store.object_records keeps them in the store's database.

A method of the records is one short transaction, which is durable when it returns. If the thread is inside of a
transaction of the store, it becomes part of that one, and is durable with it. Failures raise DatabaseFailed.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from opstore_daemon.protocol.digests import Digest

State = Literal["draft", "blob", "trash", "quarantine", "deleting"]


@dataclass(frozen=True, slots=True)
class ObjectRecord:
    """An object: its random key (32 lower-case hex digits), what it is, and since when (seconds since the epoch).

    `digest` and `size` (in bytes) are None for a draft.
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
    `fence` is the number of its newest writer.
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


class DraftTaken(Exception):
    """Another writer has taken the draft over, or it was discarded: what this one has sent does not count."""


class ObjectRecords(ABC):
    """The records of all objects of one store."""

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
    def drafts(self) -> Iterator[str]:
        """Yield the uploads that have a draft. None is missed that existed throughout the call."""

    @abstractmethod
    def begin_multipart(self, upload: str, fence: int, multipart: str) -> None:
        """Record the id of the draft's multipart upload. Raises DraftTaken."""

    @abstractmethod
    def add_part(self, upload: str, fence: int, part: Part, *, tail_key: str | None, tail_size: int) -> None:
        """Record a part that follows the others, and the tail behind it, in place of the tail before.

        The object of the tail before stays recorded as a draft, for `forget` after its delete. Raises DraftTaken.
        """

    @abstractmethod
    def set_tail(self, upload: str, fence: int, tail_key: str | None, tail_size: int) -> None:
        """Record the object that has the bytes behind the last part, in place of the one before. Raises DraftTaken."""

    @abstractmethod
    def drop_parts(self, upload: str, fence: int, first: int) -> None:
        """Forget the parts from the number `first` on, and the tail: the object store has others. Raises DraftTaken."""

    @abstractmethod
    def seal(self, upload: str, fence: int) -> None:
        """Record that the object of the draft is complete. Raises DraftTaken."""

    @abstractmethod
    def discard(self, upload: str) -> Sequence[ObjectRecord]:
        """Forget the draft; return its objects that are still drafts, now `deleting`. A second call returns none."""

    # --- objects ------------------------------------------------------------------------------------------------------

    @abstractmethod
    def begin(self, key: str) -> None:
        """Record a new object as a draft, before the request that creates it."""

    @abstractmethod
    def publish(self, key: str, digest: Digest, size: int) -> bool:
        """Make the object, which is complete, the blob of the digest; an earlier blob of the digest moves to the trash.

        Does nothing if it was the blob already, or was and another object has replaced it. Return False if it may not
        be used any more because somebody deletes it.
        """

    @abstractmethod
    def blob(self, digest: Digest) -> ObjectRecord | None:
        """Return the blob of the digest, or None."""

    @abstractmethod
    def find(self, state: State, after: str, limit: int) -> Sequence[ObjectRecord]:
        """Return objects in that state by key, at most `limit` after the key `after`."""

    @abstractmethod
    def of(self, digest: Digest, state: State) -> Sequence[ObjectRecord]:
        """Return the objects of the digest in that state."""

    @abstractmethod
    def move(self, key: str, before: State, after: State) -> bool:
        """Change the state of an object, as of now; return whether it had the state `before`."""

    @abstractmethod
    def forget(self, key: str) -> None:
        """Forget an object that is `deleting` or a draft, once the object store has it no more."""
