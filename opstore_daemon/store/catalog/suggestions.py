"""Suggestions for a mistyped name: existing names that resemble it. Read only for error messages."""

from difflib import get_close_matches

from sqlalchemy import ColumnElement, select

from opstore_daemon.store.snapshot import Snapshot

MAX_NAMES = 10_000  # names read, so that an error takes no longer in a large store
MAX_WORK = 4_000_000  # names times their length squared, the cost of comparing them: about 0.2 s


def names_like(
    snapshot: Snapshot, column: ColumnElement[str], name: str, *conditions: ColumnElement[bool]
) -> list[str]:
    """Return up to three names of the column that resemble `name`, the most similar one first.

    If the column has more names than the limits allow, only the alphabetical neighbours of `name` are compared: the
    column has an index.
    """
    half = min(MAX_NAMES, MAX_WORK // len(name) ** 2) // 2
    after = select(column).where(column > name, *conditions).order_by(column).limit(half)
    before = select(column).where(column < name, *conditions).order_by(column.desc()).limit(half)
    neighbours = [*snapshot.execute(after).scalars(), *snapshot.execute(before).scalars()]
    return get_close_matches(name, neighbours)
