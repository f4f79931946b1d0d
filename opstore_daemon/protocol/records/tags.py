"""Tags: movable names of versions."""

from opstore_daemon.protocol.records.base import (
    Cursor,
    NameText,
    NumberText,
    Position,
    Record,
    References,
    Request,
    Time,
)
from opstore_daemon.protocol.records.picked import Picked
from opstore_daemon.protocol.records.resolutions import Lock
from opstore_daemon.protocol.reference_text import format_reference
from opstore_daemon.protocol.references import TagName


class TagRecord(Record, frozen=True, kw_only=True):
    """A tag's version at a position. `version` is None if the tag was removed."""

    op: NameText
    tag: NameText
    version: NumberText | None
    position: Position
    registered_at: Time

    def _summary(self) -> str:
        """Return the tag and its version."""
        version = "removed" if self.version is None else format_reference(self.op, self.version)
        return f"{format_reference(self.op, self.tag)}: {version}"


class Tags(Record, frozen=True, kw_only=True):
    """A page of tags, or of their moves, newest first."""

    tags: tuple[TagRecord, ...]
    next_cursor: Cursor | None = None

    @property
    def rows(self) -> tuple[TagRecord, ...]:
        """The rows of the page."""
        return self.tags


class Tagged(Record, frozen=True, kw_only=True):
    """The tag on each version that it was moved to."""

    tags: tuple[TagRecord, ...]
    picked_yanked: Picked = ()


class NewTag(Request, frozen=True, kw_only=True):
    """A tag, and the versions to move it to, one of each op: `versions`, or those of a `lock`; all of them, or none."""

    tag: TagName
    versions: References = ()
    lock: Lock | None = None
