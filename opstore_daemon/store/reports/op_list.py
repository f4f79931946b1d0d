"""The ops for the page, in any order and filtered by name and description."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from opstore_daemon.store.catalog import ops
from opstore_daemon.store.catalog.ops import OpLine
from opstore_daemon.store.snapshot import Snapshot

MAX_SORTED = 2000  # ops that are sorted or filtered: the first ones by name

DEFAULT_SORT = "name"
SORTS = (DEFAULT_SORT, "-name", "registered", "-registered", "size", "-size", "versions", "-versions")

_NEVER = datetime.min.replace(tzinfo=UTC)
_KEYS: dict[str, Callable[[OpLine], Any]] = {
    "name": lambda line: line.name,
    "registered": lambda line: line.registered_at or _NEVER,
    "size": lambda line: -1 if line.size is None else line.size,
    "versions": lambda line: line.versions,
}


@dataclass(frozen=True, slots=True)
class OpList:
    """A page of ops; `is_cut`: the store has more than MAX_SORTED, and the rest is in no page."""

    lines: list[OpLine]
    has_more: bool
    is_cut: bool


def op_list(snapshot: Snapshot, text: str, sort: str, skip: int, limit: int) -> OpList:
    """Return at most `limit` ops with the text in name or description, after `skip` others. `sort` is one of SORTS."""
    found = ops.lines(snapshot, "", MAX_SORTED + 1)
    part = text.lower()
    lines = [each for each in found[:MAX_SORTED] if part in each.name or part in (each.description or "").lower()]
    lines.sort(key=_KEYS[sort.removeprefix("-")], reverse=sort.startswith("-"))
    return OpList(lines[skip : skip + limit], has_more=len(lines) > skip + limit, is_cut=len(found) > MAX_SORTED)
