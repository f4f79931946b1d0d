"""The journal: what changed, newest first."""

import msgspec

from opstore_daemon.protocol.records.base import (
    Cursor,
    LabelKey,
    LabelValue,
    NameText,
    Position,
    Record,
    Sentence,
    Time,
    Word,
)
from opstore_daemon.protocol.records.verdicts import OpVersion


class JournalEntry(Record, frozen=True, kw_only=True):
    """An entry of the journal, and what it changed.

    `action`: `stored`, `registered`, `edited`, `described`, `valid for`, `invalid for`, `revoked for`, `level`,
    `tagged`, `untagged`, `yanked`, `unyanked`, `pipeline registered` or `pipeline removed`.

    `versions`: what it is about; the version is null for an op as a whole. Of a link, the first is the upstream
    version and the second one the downstream. `text`: the message, description, evidence, reason, compatibility level
    or tags; an empty text removed a message or description. `labels`: those that were set, null for one that was
    removed.
    """

    position: Position
    registered_at: Time
    action: Word
    versions: tuple[OpVersion, ...] = ()
    pipeline: NameText | None = None
    text: Sentence | None = None
    labels: dict[LabelKey, LabelValue | None] = msgspec.field(default_factory=dict)


class Journal(Record, frozen=True, kw_only=True):
    """A page of the journal, newest first."""

    entries: tuple[JournalEntry, ...]
    next_cursor: Cursor | None = None

    @property
    def rows(self) -> tuple[JournalEntry, ...]:
        """The rows of the page."""
        return self.entries
