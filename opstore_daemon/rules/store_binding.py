"""Whether a database and a saver belong together, decided before either of them is changed.

Every database has a store id, and a saver's storage carries the id of the store that claimed it. Blobs without their
database, and a database without its blobs, are refused: whoever goes on with an empty half loses the other one.
"""

from dataclasses import dataclass
from typing import Literal

DatabaseKind = Literal["memory", "new", "existing"]

# What to do, or why nothing may be done:
# bound: they belong together already; claim: write the database's id into the saver; take: the database, which is
# older than store ids, takes the saver's id; apart: use the saver without claiming or deleting anything that is in it.
Decision = Literal["bound", "claim", "take", "apart", "database lost", "commits lost", "mismatch", "blobs lost"]


@dataclass(frozen=True, slots=True)
class DatabaseState:
    """The state of a database before it is opened. `store_id` is None for a new one and for one from before store ids.

    `position` is that of its last commit, 0 if there is none.
    """

    kind: DatabaseKind
    store_id: str | None = None
    has_stored: bool = False
    position: int = 0


@dataclass(frozen=True, slots=True)
class SaverState:
    """A saver as it was found.

    `carries_id`: it can carry an id at all. `holds_newest`: it has at least one of the newest stored versions of this
    database, with the right size. `position` is that of the last commit of the store which claimed it, as far as known.
    """

    carries_id: bool
    store_id: str | None
    has_blobs: bool
    holds_newest: bool = False
    position: int = 0


def decide(database: DatabaseState, saver: SaverState) -> Decision:
    """Return what to do with the two."""
    if database.kind == "memory":
        return "apart" if saver.store_id is None else "database lost"
    if database.kind == "new":
        return "claim" if saver.store_id is None and not saver.has_blobs else "database lost"
    if not saver.carries_id:
        return "bound"  # nothing can be known
    if saver.store_id is not None:
        belongs = saver.holds_newest if database.store_id is None else database.store_id == saver.store_id
        if not belongs:
            return "mismatch"
        if database.position < saver.position:
            return "commits lost"
        return "take" if database.store_id is None else "bound"
    if saver.holds_newest or not (saver.has_blobs or database.has_stored):
        return "claim"
    return "blobs lost"
