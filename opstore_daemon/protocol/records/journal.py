"""The journal: what changed, newest first."""

import msgspec

from opstore_daemon.protocol.records.base import (
    AuthorText,
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
from opstore_daemon.protocol.records.short_text import short_text
from opstore_daemon.protocol.records.verdicts import OpVersion


class JournalEntry(Record, frozen=True, kw_only=True):
    """An entry of the journal, and what it changed.

    `action`: `stored`, `registered`, `edited`, `described`, `valid for`, `invalid for`, `revoked for`, `level`,
    `tagged`, `untagged`, `yanked`, `unyanked`, `pipeline registered`, `pipeline removed`, `run passed`, `run failed`,
    `run unknown`, `bisected`, `removed`, `op removed` or `op created again`.

    `versions`: what it is about; the version is null for an op as a whole. Of a link, the first is the upstream
    version and the second one the downstream; of a run, they are its set; of a bisection, the version that broke the
    pipeline. `text`: the message, description, evidence, reason, compatibility level or tags; of a run, its command
    and the reason for its result; an empty text removed a message or description. `labels`: those that were set, null
    for one that was removed. `author`: whom the client named; null if it named nobody.
    """

    position: Position
    registered_at: Time
    author: AuthorText | None = None
    action: Word
    versions: tuple[OpVersion, ...] = ()
    pipeline: NameText | None = None
    text: Sentence | None = None
    labels: dict[LabelKey, LabelValue | None] = msgspec.field(default_factory=dict)

    def _summary(self) -> str:
        """Return its position, its time, and what changed."""
        names = list(map(str, self.versions)) if self.pipeline is None else [self.pipeline]
        what = f" {self.action} ".join(names) if self.action.endswith(" for") else f"{self.action} {' '.join(names)}"
        words = [short_text(each) for each in (self.text, self.labels) if each]
        return ", ".join((f"{self.position}: {what}", *words, short_text(self.registered_at)))


class Journal(Record, frozen=True, kw_only=True):
    """A page of the journal, newest first."""

    entries: tuple[JournalEntry, ...]
    next_cursor: Cursor | None = None

    @property
    def rows(self) -> tuple[JournalEntry, ...]:
        """The rows of the page."""
        return self.entries
