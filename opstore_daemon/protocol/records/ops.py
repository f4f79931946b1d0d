"""Ops."""

from opstore_daemon.protocol.records.base import (
    Compat,
    Count,
    Cursor,
    Description,
    NameText,
    NumberText,
    Record,
    Request,
)


class OpRecord(Record, frozen=True, kw_only=True):
    """An op, its latest version, how many versions it has, and what it is for in the words of its users."""

    name: NameText
    latest: NumberText | None
    versions: Count
    compat: Compat
    description: Description | None = None


class Ops(Record, frozen=True, kw_only=True):
    """A page of ops, by name."""

    ops: tuple[OpRecord, ...]
    next_cursor: Cursor | None = None

    @property
    def rows(self) -> tuple[OpRecord, ...]:
        """The rows of the page."""
        return self.ops


class ChangeOp(Request, frozen=True, kw_only=True):
    """A new compatibility level or description, or both; null keeps what there is.

    An empty `description` removes the description.
    """

    compat: Compat | None = None
    description: Description | None = None
