"""What a collection of garbage does."""

from typing import Annotated, ClassVar

from msgspec import Meta

from opstore_daemon.protocol.records.base import Count, Record, Request, Sentence, Size, Time
from opstore_daemon.protocol.records.short_text import counted
from opstore_daemon.protocol.sizes import format_size

MAX_GRACE = 100 * 366 * 24 * 3600  # seconds
Grace = Annotated[int, Meta(ge=0, le=MAX_GRACE)]
DEFAULT_GRACE = 24 * 3600


class NewCollection(Request, frozen=True, kw_only=True):
    """A request to collect garbage: blobs that were published within `grace` seconds stay.

    `purge`: delete everything in the trash for good, now.
    """

    grace: Grace = DEFAULT_GRACE
    purge: bool = False


class Collection(Record, frozen=True, kw_only=True):
    """What a collection did or, if it is a `dry_run`, would do. Sizes are in bytes.

    `uploads` expired, and `drafts` are bytes that a crash left: both were deleted. `garbage` are blobs that no version
    refers to: they were moved to the trash. `purged` is what was deleted for good after its time in the trash or the
    quarantine, and `freed` is the sum of all that was deleted. `trash` is what the trash contains afterwards, and
    `purged_at` when the first of it is due. `waiting` are blobs that no version refers to, and that stay because they
    were published a short time ago; `collected_at` is when the first of them is due. `quarantine` is what a check moved
    out of the place of a blob, because it was damaged. `unfinished` uploads can be resumed. `problems` says what could
    not be done. `complete` is False if the collection was cancelled.
    """

    SIZES: ClassVar[frozenset[str]] = frozenset(
        {
            "freed",
            "uploads_size",
            "drafts_size",
            "garbage_size",
            "purged_size",
            "trash_size",
            "waiting_size",
            "quarantine_size",
            "unfinished_size",
        }
    )

    dry_run: bool
    complete: bool
    freed: Size
    uploads: Count = 0
    uploads_size: Size = 0
    drafts: Count = 0
    drafts_size: Size = 0
    garbage: Count = 0
    garbage_size: Size = 0
    purged: Count = 0
    purged_size: Size = 0
    trash: Count = 0
    trash_size: Size = 0
    purged_at: Time | None = None
    waiting: Count = 0
    waiting_size: Size = 0
    collected_at: Time | None = None
    quarantine: Count = 0
    quarantine_size: Size = 0
    unfinished: Count = 0
    unfinished_size: Size = 0
    problems: tuple[Sentence, ...] = ()

    def _summary(self) -> str:
        facts = [f"{'would free' if self.dry_run else 'freed'} {format_size(self.freed)}"]
        if self.trash:
            facts.append(f"{counted(self.trash, 'blobs')} ({format_size(self.trash_size)}) in the trash")
        if self.waiting:
            facts.append(f"{counted(self.waiting, 'blobs')} ({format_size(self.waiting_size)}) waiting")
        return ", ".join([*facts, *self.problems])
