"""Which database and saver may be opened together: every combination of states."""

import itertools

import pytest

from opstore_daemon.rules.store_binding import DatabaseKind, DatabaseState, Decision, SaverState, decide

OURS, THEIRS = "0" * 32, "f" * 32
KINDS: list[DatabaseKind] = ["memory", "new", "existing"]

EVERY_DATABASE = [
    DatabaseState(kind, store_id, has_stored, position)
    for kind, store_id, has_stored, position in itertools.product(KINDS, (None, OURS), (False, True), (0, 7))
    if kind == "existing" or (store_id is None and not has_stored and not position)
]
EVERY_SAVER = [
    SaverState(carries_id, store_id, has_blobs, holds_newest, position)
    for carries_id, store_id, has_blobs, holds_newest, position in itertools.product(
        (False, True), (None, OURS, THEIRS), (False, True), (False, True), (0, 7, 8)
    )
    if (carries_id or store_id is None) and (has_blobs or not holds_newest)
]


def saver(store_id: str | None = None, *, blobs: bool = False, newest: bool = False, position: int = 0) -> SaverState:
    """Return the state of a folder."""
    return SaverState(True, store_id, blobs or newest, newest, position)


MEMORY, NEW = DatabaseState("memory"), DatabaseState("new")
EMPTY, FULL = DatabaseState("existing", OURS), DatabaseState("existing", OURS, has_stored=True)
AT_7 = DatabaseState("existing", OURS, has_stored=True, position=7)
OLD_EMPTY, OLD_FULL = DatabaseState("existing"), DatabaseState("existing", has_stored=True)

CASES: list[tuple[DatabaseState, SaverState, Decision]] = [
    (MEMORY, saver(), "apart"),
    (MEMORY, saver(blobs=True), "apart"),
    (MEMORY, saver(THEIRS), "database lost"),
    (NEW, saver(), "claim"),
    (NEW, saver(blobs=True), "database lost"),
    (NEW, saver(THEIRS), "database lost"),
    (FULL, saver(OURS), "bound"),
    (FULL, saver(THEIRS, newest=True), "mismatch"),
    (EMPTY, saver(), "claim"),
    (EMPTY, saver(blobs=True), "blobs lost"),
    (FULL, saver(), "blobs lost"),
    (FULL, saver(blobs=True), "blobs lost"),
    (FULL, saver(newest=True), "claim"),
    (OLD_EMPTY, saver(), "claim"),
    (OLD_FULL, saver(), "blobs lost"),
    (OLD_FULL, saver(blobs=True), "blobs lost"),
    (OLD_FULL, saver(newest=True), "claim"),
    (OLD_FULL, saver(THEIRS, newest=True), "take"),
    (OLD_FULL, saver(THEIRS, blobs=True), "mismatch"),
    (OLD_EMPTY, saver(THEIRS), "mismatch"),
    (NEW, SaverState(False, None, has_blobs=False), "claim"),
    (NEW, SaverState(False, None, has_blobs=True), "database lost"),
    (FULL, SaverState(False, None, has_blobs=False), "bound"),
    (MEMORY, SaverState(False, None, has_blobs=True), "apart"),
    (AT_7, saver(OURS, position=7), "bound"),
    (AT_7, saver(OURS, position=6), "bound"),
    (AT_7, saver(OURS, position=8), "commits lost"),
    (AT_7, saver(THEIRS, newest=True, position=8), "mismatch"),
    (AT_7, saver(newest=True, position=8), "claim"),
    (OLD_FULL, saver(THEIRS, newest=True, position=1), "commits lost"),
]


@pytest.mark.parametrize(("database", "saver", "decision"), CASES, ids=str)
def test_the_decision(database: DatabaseState, saver: SaverState, decision: Decision) -> None:
    assert decide(database, saver) == decision


def test_no_combination_brings_a_database_and_blobs_of_two_stores_together() -> None:
    refusals = {"database lost", "commits lost", "mismatch", "blobs lost"}
    for database, found in itertools.product(EVERY_DATABASE, EVERY_SAVER):
        decision = decide(database, found)
        if found.store_id is not None and found.store_id != database.store_id and decision not in refusals:
            assert decision == "take"
            assert found.holds_newest
        if database.kind == "new" and (found.has_blobs or found.store_id):
            assert decision == "database lost"
        if decision == "claim" and found.has_blobs:
            assert found.holds_newest
        if decision in ("bound", "take") and found.store_id is not None:
            assert database.position >= found.position


def test_after_the_claim_the_two_are_bound() -> None:
    for database, found in itertools.product(EVERY_DATABASE, EVERY_SAVER):
        if decide(database, found) == "claim" and found.carries_id:
            claimed = SaverState(True, OURS, found.has_blobs, found.holds_newest)
            assert decide(DatabaseState("existing", OURS, database.has_stored), claimed) == "bound"
