"""The journal of links."""

from opstore_daemon.protocol.records.base import (
    Cursor,
    Evidence,
    LinkState,
    NameText,
    NumberText,
    Position,
    Record,
    Request,
    Time,
)
from opstore_daemon.protocol.records.picked import Picked
from opstore_daemon.protocol.records.short_text import short_text
from opstore_daemon.protocol.reference_text import format_reference
from opstore_daemon.protocol.references import Reference


class LinkRecord(Record, frozen=True, kw_only=True):
    """An entry of the journal of links. `downstream_version` is None if the link is for any version of the op.

    `until` is the position of the entry that replaced it. If it is None and `state` is not `revoked`, the link is in
    force. `run` is the position of the run that is its evidence, None if there is none.
    """

    upstream: NameText
    upstream_version: NumberText
    downstream: NameText
    downstream_version: NumberText | None
    valid: bool
    state: LinkState
    evidence: Evidence | None
    position: Position
    until: Position | None = None
    registered_at: Time
    run: Position | None = None

    NOT_IN_TABLES = frozenset({"valid"})  # `state` says more

    def __str__(self) -> str:
        ends = ((self.upstream, self.upstream_version), (self.downstream, self.downstream_version or "any"))
        return f"{' -> '.join(format_reference(*end) for end in ends)}: {self.state}"

    def _summary(self) -> str:
        """Return the link, its state and its evidence."""
        return str(self) if self.evidence is None else f"{self}, {short_text(self.evidence)}"


class Linked(Record, frozen=True, kw_only=True):
    """The link that was recorded or revoked."""

    link: LinkRecord
    picked_yanked: Picked = ()


class Links(Record, frozen=True, kw_only=True):
    """A page of links, newest first."""

    links: tuple[LinkRecord, ...]
    next_cursor: Cursor | None = None

    @property
    def rows(self) -> tuple[LinkRecord, ...]:
        """The rows of the page."""
        return self.links


class NewLink(Request, frozen=True, kw_only=True):
    """An entry for the journal of links. `revoked` revokes the entry in force between the same versions."""

    upstream: Reference
    downstream: Reference
    state: LinkState = "valid"
    evidence: Evidence | None = None
