"""Ops."""

from opstore_daemon.protocol.records.base import Compat, Count, Cursor, NameText, NumberText, Record, Request


class OpRecord(Record, frozen=True, kw_only=True):
    """An op, its latest version and how many versions it has."""

    name: NameText
    latest: NumberText | None
    versions: Count
    compat: Compat


class Ops(Record, frozen=True, kw_only=True):
    """A page of ops, by name."""

    ops: tuple[OpRecord, ...]
    next_cursor: Cursor | None = None

    @property
    def rows(self) -> tuple[OpRecord, ...]:
        """The rows of the page."""
        return self.ops


class ChangeOp(Request, frozen=True, kw_only=True):
    """A new compatibility level."""

    compat: Compat
