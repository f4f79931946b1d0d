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
from opstore_daemon.protocol.references import Reference


class LinkRecord(Record, frozen=True, kw_only=True):
    """An entry of the journal of links. `downstream_version` is None if the link is for any version of the op.

    `until` is the position of the entry that replaced it. If it is None and `state` is not `revoked`, the link is in
    force.
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
