"""The matrix and its map agree with `validate`, the lines of ops with `ops`, also as of a position."""

from contextlib import closing, suppress
from itertools import product
from random import Random

import pytest

from opstore_daemon import OpStoreServer
from opstore_daemon.protocol import errors
from opstore_daemon.savers import MemorySaver
from opstore_daemon.store import Store

OPS = ("up", "down")
STEPS = 40


def do_something(store: Store, chance: Random, turn: int) -> None:
    """Make a random change to the two ops."""
    match chance.choice(["push", "push", "register", "link", "link", "link", "unlink", "compat", "yank"]):
        case "push":
            bump = chance.choice(["major", "minor", "patch"])
            store.push(chance.choice(OPS), str(turn).encode(), bump=bump)  # type: ignore[arg-type]
        case "register":
            store.register(chance.choice(OPS), fields={"major": {"turn": str(turn)}})
        case "compat":
            store.set_op("up", compat=chance.choice(["major", "minor", "exact"]))
        case "yank":
            store.yank(any_of(store, chance, "up"), "bad")
        case "link":
            target = chance.choice(["down@any", any_of(store, chance, "down")])
            store.link(any_of(store, chance, "up"), target, valid=chance.random() < 0.7)
        case "unlink":
            links = store.links("up")
            if links:
                link = chance.choice(links)
                store.unlink(f"up@{link.upstream_version}", f"down@{link.downstream_version or 'any'}")


def any_of(store: Store, chance: Random, op: str) -> str:
    return f"{op}@{chance.choice(store.versions(op).versions).version}"


def check(store: Store, as_of: str | None) -> None:
    """Compare each cell with the verdict of its pair."""
    found = store.matrix("up", "down", None, None, as_of)
    numbers = [[version.number for version in axis.versions] for axis in (found.upstream, found.downstream)]
    expected = {}
    for (row, up), (column, down) in product(enumerate(numbers[0]), enumerate(numbers[1])):
        (edge,) = store.validate(f"up@{up}", f"down@{down}", as_of=as_of).edges
        cell = found.rows[row][column]
        assert (cell.word, cell.basis, cell.reason) == (edge.verdict, edge.basis, edge.reason)
        expected[row, column] = cell.basis if cell.word == "invalid" else cell.word
    drawn = {
        (run.row, run.column + more): run.look
        for run in store.matrix_map("up", "down", None, None, as_of)
        for more in range(run.count)
    }
    assert drawn == expected


@pytest.mark.parametrize("seed", range(12))
def test_a_cell_has_the_verdict_of_its_pair(seed: int) -> None:
    chance = Random(seed)
    with closing(OpStoreServer(MemorySaver())) as server:
        store = server.store
        for op in OPS:
            store.push(op, b"first")
        seen: list[tuple[int, list[tuple[str, str | None, int, str]]]] = []
        for turn in range(STEPS):
            with suppress(errors.VersionNotFound):  # all are yanked
                do_something(store, chance, turn)
            position = store.entries(None, 1)[0].position
            seen.append((position, [(op.name, op.latest, op.versions, op.compat) for op in store.ops()]))
        check(store, None)
        for position, ops in seen:
            told = store.op_lines("", 10, str(position))
            assert [(op.name, op.latest, op.versions, op.compat) for op in told] == ops
        for position, _ in chance.sample(seen, 3):
            check(store, str(position))


def test_an_op_is_not_its_own_upstream() -> None:
    with closing(OpStoreServer(MemorySaver())) as server:
        server.store.push("up", b"bytes")
        with pytest.raises(errors.InvalidRequest):
            server.store.matrix("up", "up", None, None)


def test_without_downstream_versions_the_matrix_has_one_column() -> None:
    with closing(OpStoreServer(MemorySaver())) as server:
        store = server.store
        store.push("up", b"bytes")
        store.register_pipeline("churn", ["up", "down"])
        store.link("up", "down@any")
        found = store.matrix("up", "down", None, None)
        assert [[cell.word for cell in row] for row in found.rows] == [["valid"]]
        assert found.rows[0][0].reason == store.validate("up", "down").edges[0].reason
        assert store.matrix_map("up", "down", None, None) == []
