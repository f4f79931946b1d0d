"""The matrix and its map agree with `validate`, the lines of ops with `ops`, also as of a position."""

from collections.abc import Sequence
from contextlib import closing, suppress
from itertools import product
from random import Random

import pytest

from opstore_daemon.protocol import errors
from opstore_daemon.store import Store
from tests.support.figures import few
from tests.support.places import Place

OPS = ("up", "down")
STEPS = 40


def do_something(store: Store, chance: Random, turn: int) -> None:
    """Make a random change to the two ops."""
    match chance.choice(["push", "push", "register", "link", "link", "link", "unlink", "compat", "yank", "remove"]):
        case "push":
            bump = chance.choice(["major", "minor", "patch"])
            store.push(chance.choice(OPS), str(turn).encode(), bump=bump)  # type: ignore[arg-type]
        case "register":
            store.register(chance.choice(OPS), fields={"major": {"turn": str(turn)}})
        case "compat":
            store.set_op("up", compat=chance.choice(["major", "minor", "exact"]))
        case "yank" | "remove" as change:
            retire(store, chance, change)
        case "link":
            target = chance.choice(["down@any", any_of(store, chance, "down")])
            store.link(any_of(store, chance, "up"), target, valid=chance.random() < 0.7)
        case "unlink":
            links = store.links("up")
            if links:
                link = chance.choice(links)
                store.unlink(f"up@{link.upstream_version}", f"down@{link.downstream_version or 'any'}")


def retire(store: Store, chance: Random, change: str) -> None:
    """Yank a version of the upstream op, or remove one of any op that is not its only one."""
    op = chance.choice(OPS)
    if change == "yank":
        store.yank(any_of(store, chance, "up"), "bad")
    elif len(store.versions(op).versions) > 1:
        store.remove(any_of(store, chance, op), force=True)


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


@pytest.mark.parametrize("seed", few(1, range(12)))
def test_a_cell_has_the_verdict_of_its_pair(place: Place, seed: int) -> None:
    chance = Random(seed)
    with closing(place.open()) as server:
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


def test_an_op_is_not_its_own_upstream(place: Place) -> None:
    with closing(place.open()) as server:
        server.store.push("up", b"bytes")
        with pytest.raises(errors.InvalidRequest):
            server.store.matrix("up", "up", None, None)


def test_without_downstream_versions_the_matrix_has_one_column(place: Place) -> None:
    with closing(place.open()) as server:
        store = server.store
        store.push("up", b"bytes")
        store.register_pipeline("churn", ["up", "down"])
        store.link("up", "down@any")
        found = store.matrix("up", "down", None, None)
        assert [[cell.word for cell in row] for row in found.rows] == [["valid"]]
        assert found.rows[0][0].reason == store.validate("up", "down").edges[0].reason
        assert store.matrix_map("up", "down", None, None) == []


def fill(store: Store, count: int) -> None:
    """Register so many versions of up, and one of down."""
    for number in range(count):
        store.register("up", subversions=f"{number:04x}.0000.0000")
    store.register("down", subversions="aaaa.bbbb.cccc")


@pytest.mark.parametrize(
    "removed",
    few(
        1,
        [
            range(1, 41),
            range(100, 121),
            range(40, 110),
            [*range(1, 30), *range(31, 61), *range(62, 120)],
            range(2, 120, 2),
        ],
    ),
)
def test_every_version_beside_removed_ones_can_be_reached(place: Place, removed: Sequence[int]) -> None:
    with closing(place.open()) as server:
        store = server.store
        fill(store, 120)
        store.remove([f"up@{number}.0.0" for number in removed if number <= 120])
        left = [version.sequence for version in store.versions("up").versions]
        assert _walk(store, None, "older") == left
        oldest = store.matrix("up", "down", None, None).upstream.oldest
        assert set(_walk(store, oldest, "newer")) == set(left)
        assert store.matrix("up", "down", 1, None).upstream.versions != []
        axis = store.matrix("up", "down", None, None).upstream
        assert sorted(axis.mapped) == sorted(left)
        drawn = {run.row for run in store.matrix_map("up", "down", axis.map_start, None)}
        assert drawn == set(range(len(left)))


def _walk(store: Store, start: int | None, way: str) -> list[int]:
    """Return the sequences that are shown on the way from one part to the next."""
    shown: list[int] = []
    for _ in range(20):
        axis = store.matrix("up", "down", start, None).upstream
        shown += [version.sequence for version in axis.versions]
        start = getattr(axis, way)
        if start is None:
            return shown
    raise AssertionError("it does not end")
