"""Names that are like one that is not there: what a mistyped name may have meant. Asked on the way to an error only."""

from difflib import get_close_matches

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import InstrumentedAttribute

from opstore_daemon.store.snapshot import Snapshot

MOST_NAMES = 10_000  # that are read, so that an error takes no longer in a large store
MOST_WORK = 4_000_000  # names times their length squared, which is what comparing them takes: some 0.2 s


def names_like(
    snapshot: Snapshot, column: InstrumentedAttribute[str], name: str, *conditions: ColumnElement[bool]
) -> list[str]:
    """Up to three names of the column, the most similar one first.

    Where there are more names than are read, those nearest in the alphabet are: the column has an index.
    """
    half = min(MOST_NAMES, MOST_WORK // len(name) ** 2) // 2
    behind = select(column).where(column > name, *conditions).order_by(column).limit(half)
    before = select(column).where(column < name, *conditions).order_by(column.desc()).limit(half)
    found = [*snapshot.execute(behind).scalars(), *snapshot.execute(before).scalars()]
    return get_close_matches(name, found)
