"""Ops."""

from opstore_daemon.protocol.records.base import Compat, Record, Request


class OpRecord(Record, frozen=True, kw_only=True):
    """An op, its latest version and how many versions it has."""

    name: str
    latest: str | None
    versions: int
    compat: Compat


class Ops(Record, frozen=True, kw_only=True):
    """A page of ops, by name."""

    ops: tuple[OpRecord, ...]
    next_cursor: str | None = None


class ChangeOp(Request, frozen=True, kw_only=True):
    """A new compatibility level."""

    compat: Compat
