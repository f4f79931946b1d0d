"""What an answer costs does not grow with the store: counted in SQLite's own steps, and in statements."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from itertools import count

import pytest

from benchmarks.filled import fill, fill_line, number
from opstore_daemon import OpStoreServer
from opstore_daemon.protocol.records import Level
from opstore_daemon.savers import MemorySaver
from opstore_daemon.store.catalog.version_rows import BLOCK
from opstore_daemon.store.store import Store
from tests.daemon.store.test_statements import counted

OPS = ["a", "b", "c", "d", "e"]
BACK = 300  # versions that a resolution lies back
SMALL, LARGE = 400, 8000  # versions of each op


@contextmanager
def filled(versions: int) -> Iterator[OpStoreServer]:
    with closing(OpStoreServer(MemorySaver())) as server:
        fill(server, OPS, versions, BACK)
        server.store.link("c", "d@1.0.0")
        yield server


@pytest.fixture(scope="module")
def small() -> Iterator[OpStoreServer]:
    """A small store; no test changes it."""
    with filled(SMALL) as server:
        yield server


@pytest.fixture(scope="module")
def large() -> Iterator[OpStoreServer]:
    """A large store; no test changes it."""
    with filled(LARGE) as server:
        yield server


def steps(server: OpStoreServer, ask: Callable[[Store], object]) -> tuple[int, int]:
    """The steps of SQLite's virtual machine that an answer takes, and its statements."""
    ask(server.store)  # what is done once, such as reading the schema, counts for nobody
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
    """The last position of the journal."""
    return str(store.resolve("chain").position)


QUESTIONS: dict[str, Callable[[str], Callable[[Store], object]]] = {
    "latest": lambda _: lambda store: store.show("c"),
    "of a line": lambda newest: lambda store: store.show(f"c@{newest.partition('.')[0]}"),
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
    "push onto many": lambda _: lambda store: store.push("b", b"bytes", new=True, valid_for=["c"], valid_with=["a"]),
    "tag": lambda newest: lambda store: store.tag(f"a@{newest}", "production"),
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_an_answer_costs_no_more_in_a_store_of_twenty_times_as_many_versions(
    small: OpStoreServer, large: OpStoreServer, question: str
) -> None:
    _compare(small, large, QUESTIONS[question])


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_costs_no_more_in_a_store_of_twenty_times_as_many_versions(change: str) -> None:
    with filled(SMALL) as small, filled(LARGE) as large:
        _compare(small, large, CHANGES[change])


def _compare(small: OpStoreServer, large: OpStoreServer, question: Callable[[str], Callable[[Store], object]]) -> None:
    cost, statements = steps(small, question(last(small)))
    large_cost, large_statements = steps(large, question(last(large)))
    assert large_cost <= 1.5 * cost + 200, f"{large_cost} steps, not {cost}"
    assert large_statements <= statements + 2


@pytest.mark.parametrize("level", ["patch", "minor", "major"])
def test_a_push_costs_no_more_behind_many_versions_of_its_line(level: Level) -> None:
    """As those have that are pushed and pushed again: 1.0.0, 1.0.1, 1.0.2 …"""
    costs = []
    for versions in (SMALL, LARGE):
        with closing(OpStoreServer(MemorySaver())) as server:
            fill_line(server, "a", versions, level)
            costs.append(steps(server, lambda store: store.push("a", b"bytes", bump=level, new=True))[0])
    assert costs[1] <= 1.5 * costs[0] + 200, f"{costs[1]} steps, not {costs[0]}"


def test_a_resolution_takes_statements_by_the_blocks_that_it_reads(large: OpStoreServer) -> None:
    _, statements = steps(large, lambda store: store.resolve("chain"))
    blocks = BACK // BLOCK + 3  # of each op, the first being smaller and the last not full
    per_op = 4  # what an op, an edge and the record of a version need besides
    assert statements <= len(OPS) * (blocks * 4 + per_op) + 10
    found = large.store.resolve("chain")
    assert [version.version for version in found.versions] == [number(LARGE - BACK - 1)] * len(OPS)
    assert len(found.skipped) == BACK * len(OPS)
