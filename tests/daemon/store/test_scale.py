"""The cost of a request does not grow with the store: measured in statements and in steps of SQLite's machine."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from itertools import count

import pytest

from benchmarks.filled import fill, fill_line, number
from opstore_daemon import OpStoreServer
from opstore_daemon.protocol.records import Level
from opstore_daemon.savers import MemorySaver
from opstore_daemon.store.catalog.version_rows import BLOCK
from opstore_daemon.store.store import Store
from tests.support.figures import few
from tests.support.statements import counted

OPS = ["a", "b", "c", "d", "e"]
BACK = 300  # versions newer than those of the resolution
SMALL, LARGE = 400, 4000  # versions of each op


@contextmanager
def filled(versions: int) -> Iterator[OpStoreServer]:
    with closing(OpStoreServer(MemorySaver())) as server:
        fill(server, OPS, versions, BACK)
        server.store.link("c", "d@1.0.0")
        yield server


@pytest.fixture(scope="module")
def small() -> Iterator[OpStoreServer]:
    """Return a small store that no test changes."""
    with filled(SMALL) as server:
        yield server


@pytest.fixture(scope="module")
def large() -> Iterator[OpStoreServer]:
    """Return a large store that no test changes."""
    with filled(LARGE) as server:
        yield server


@pytest.fixture(scope="module")
def changing() -> Iterator[tuple[OpStoreServer, OpStoreServer]]:
    """Return a small and a large store to which tests make the same changes."""
    with filled(SMALL) as small, filled(LARGE) as large:
        yield small, large


def steps(server: OpStoreServer, ask: Callable[[Store], object]) -> tuple[int, int]:
    """Return the steps of SQLite's virtual machine and the statements that a request takes."""
    ask(server.store)  # warm up: reading the schema, for example, happens once
    taken = count()

    def note() -> int:
        next(taken)
        return 0

    with server.db.engine.connect() as connection:
        driver = connection.connection.dbapi_connection
    assert driver is not None
    driver.set_progress_handler(note, 1)
    try:
        with counted(server) as statements:
            ask(server.store)
    finally:
        driver.set_progress_handler(None, 1)
    return next(taken), len(statements)


def last(server: OpStoreServer) -> str:
    """Return the number of the newest version of each op that is valid for something."""
    return number((SMALL if len(server.store.versions("a", limit=SMALL + 1).versions) == SMALL else LARGE) - BACK - 1)


def then(store: Store) -> str:
    """Return the last position of the journal."""
    return str(store.resolve("chain").position)


QUESTIONS: dict[str, Callable[[str], Callable[[Store], object]]] = {
    "latest": lambda _: lambda store: store.show("c"),
    "of a line": lambda newest: lambda store: store.show(f"c@{newest.partition('.')[0]}"),
    "of an old line": lambda _: lambda store: (store.show("c@1"), store.show("c@1.0")),
    "of an old line as of then": lambda _: (
        lambda store: [store.show(line, as_of=f"{store.show('c@3.0.0').position}") for line in ("c@1", "c@1.0")]
    ),
    "versions of an old line": lambda _: lambda store: store.versions("c@1", limit=1),
    "details of an old version": lambda _: lambda store: store.details("c@1.0.0"),
    "journal of an op": lambda _: lambda store: store.log("c", limit=10),
    "latest valid": lambda _: lambda store: store.versions("c", valid_for=["d@1.0.0"], limit=1),
    "valid further back": lambda newest: lambda store: store.versions("c", valid_for=[f"d@{newest}"], limit=1),
    "verdict": lambda _: lambda store: store.validate("c", "d"),
    "verdict that is valid": lambda newest: lambda store: store.validate(f"c@{newest}", f"d@{newest}"),
    "verdict of a pipeline": lambda _: lambda store: store.validate_pipeline("chain"),
    "resolution": lambda _: lambda store: store.resolve("chain"),
    "affected": lambda newest: lambda store: store.affected(f"a@{newest}"),
    "affected as of then": lambda newest: lambda store: store.affected(f"a@{newest}", as_of=then(store)),
    "verdict of a pipeline as of then": lambda _: lambda store: store.validate_pipeline("chain", as_of=then(store)),
    "resolution as of then": lambda _: lambda store: store.resolve("chain", as_of=then(store)),
    "latest of a range": lambda newest: lambda store: store.show(f"c@<={newest}"),
    "of a digest": lambda _: lambda store: store.show("c@sha256:" + f"{2:032x}{7:032x}"),
    "of a sample": lambda _: lambda store: store.blobs(f"xxh128:{2:016x}{7:016x}"),
    "ops": lambda _: lambda store: store.ops(),
    "links of an op": lambda _: lambda store: store.links("c", limit=10),
    "links of an op as of then": lambda _: lambda store: store.links("c", limit=10, as_of=then(store)),
}
CHANGES: dict[str, Callable[[str], Callable[[Store], object]]] = {
    "push": lambda _: lambda store: store.push("pushed", b"bytes", new=True),
    "push onto many": lambda _: (
        lambda store: store.push("b", b"bytes", new=True, valid_for=["c@any"], new_ops="major", valid_with=["a"])
    ),
    "tag": lambda newest: lambda store: store.tag(f"a@{newest}", "production"),
}


@pytest.mark.parametrize("question", few(3, QUESTIONS))
def test_a_read_costs_no_more_with_ten_times_as_many_versions(
    small: OpStoreServer, large: OpStoreServer, question: str
) -> None:
    _compare(small, large, QUESTIONS[question])


@pytest.mark.slow
@pytest.mark.parametrize("change", CHANGES)
def test_a_write_costs_no_more_with_ten_times_as_many_versions(
    changing: tuple[OpStoreServer, OpStoreServer], change: str
) -> None:
    _compare(*changing, CHANGES[change])


def _compare(small: OpStoreServer, large: OpStoreServer, question: Callable[[str], Callable[[Store], object]]) -> None:
    cost, statements = steps(small, question(last(small)))
    large_cost, large_statements = steps(large, question(last(large)))
    assert large_cost <= 1.5 * cost + 200, f"{large_cost} steps, not {cost}"
    assert large_statements <= statements + 2


@pytest.mark.parametrize("level", ["patch", "minor", "major"])
def test_a_push_costs_no_more_after_many_versions_of_its_line(level: Level) -> None:
    """An op that is pushed again and again at one level: 1.0.0, 1.0.1, 1.0.2 …"""
    costs = []
    for versions in (SMALL, LARGE):
        with closing(OpStoreServer(MemorySaver())) as server:
            fill_line(server, "a", versions, level)
            costs.append(steps(server, lambda store: store.push("a", b"bytes", bump=level, new=True))[0])
    assert costs[1] <= 1.5 * costs[0] + 200, f"{costs[1]} steps, not {costs[0]}"


@pytest.mark.slow
@pytest.mark.parametrize("as_of", [None, "300"])
@pytest.mark.parametrize("oldest_is_stored", [False, True])
def test_a_line_costs_no_more_with_many_versions_that_are_only_registered(
    oldest_is_stored: bool, as_of: str | None
) -> None:
    costs: dict[int, list[int]] = {}
    for versions in (SMALL, LARGE):
        with closing(OpStoreServer(MemorySaver())) as server:
            fill_line(server, "a", versions, "patch")
            with server.db.write() as connection:
                connection.exec_driver_sql(
                    "UPDATE version SET digest = NULL, size = NULL, stored_position = NULL WHERE sequence > ?",
                    (int(oldest_is_stored),),
                )
            newest = "1.0.0" if oldest_is_stored else f"1.0.{(versions if as_of is None else int(as_of)) - 1}"
            assert {server.store.show(f"a@{line}", as_of=as_of).version for line in ("1", "1.0")} == {newest}
            for line in ("a@1", "a@1.0"):
                asked = partial(Store.show, reference=line, as_of=as_of)
                costs.setdefault(versions, []).append(steps(server, asked)[0])
    assert max(costs[LARGE]) <= 1.5 * min(costs[SMALL]) + 200, costs


@pytest.mark.slow
def test_the_statements_of_a_resolution_depend_on_the_blocks_it_reads(large: OpStoreServer) -> None:
    _, statements = steps(large, lambda store: store.resolve("chain"))
    blocks = BACK // BLOCK + 3  # of each op; the first one is smaller, the last one is not full
    per_op = 4  # for the op, an edge and the record of a version
    assert statements <= len(OPS) * (blocks * 4 + per_op) + 10
    found = large.store.resolve("chain")
    assert [version.version for version in found.versions] == [number(LARGE - BACK - 1)] * len(OPS)
    assert len(found.skipped) == BACK * len(OPS)
