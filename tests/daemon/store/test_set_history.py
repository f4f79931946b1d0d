"""The history of a pipeline's set agrees with what the store returns as of each position."""

import random
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opstore_daemon import OpStoreServer
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.records import SetChange, SetHistory
from opstore_daemon.store.reports import set_history
from opstore_daemon.store.store import Store
from tests.daemon.store.test_history import OPS, something
from tests.daemon.store.test_statements import fill
from tests.support.examples import examples, scaled
from tests.support.places import Place
from tests.support.statements import counted


def ticking() -> Iterator[datetime]:
    """Yield times, each a second later: entries with one time count as one transaction."""
    time = datetime(2026, 3, 1, tzinfo=UTC)
    while True:
        yield time
        time += timedelta(seconds=1)


def shown(store: Store, op: str, position: int) -> str | None:
    """Return the number of the latest version as of the position, as `show` finds it."""
    try:
        return store.show(op, as_of=str(position)).version
    except errors.NotFound:
        return None


def replayed(history: SetHistory, position: int) -> dict[str, str | None]:
    """Return the latest versions as of the position, as the history has them."""
    latest = {version.op: version.version for version in history.versions}
    latest |= {change.op: change.version for change in history.changes if change.position <= position}
    return latest


@pytest.mark.oracle
@examples(20)
@given(st.randoms(use_true_random=False))
def test_each_past_set_is_that_of_the_answers_as_of_then(lasting_place: Place, chance: random.Random) -> None:
    times = ticking()
    with closing(lasting_place.open(clock=lambda: next(times))) as server:
        store = server.store
        for _ in range(40):
            something(store, chance)
        store.register_pipeline("all", OPS)
        whole = store.set_history("all")
        changed = {change.position for change in whole.changes}
        before, last = dict.fromkeys(OPS), 0
        for position in range(whole.until + 1):
            if store.set_history("all", until=str(position)).until != position:
                continue  # within a transaction
            answers = {op: shown(store, op, position) for op in OPS}
            assert replayed(whole, position) == answers, position
            assert answers == before or any(last < each <= position for each in changed)
            before, last = answers, position
        middle = chance.randrange(whole.until + 1)
        part = store.set_history("all", since=str(middle))
        assert part.changes == tuple(change for change in whole.changes if change.position > part.since)
        assert replayed(part, part.since) == replayed(whole, part.since)
        for position in range(whole.until + 1):
            until = store.set_history("all", until=str(position))
            assert until.changes == tuple(change for change in whole.changes if change.position <= until.until)


@pytest.mark.slow
@pytest.mark.parametrize("versions", [1, 60])
def test_the_statements_of_a_history_depend_on_blocks(memory: OpStoreServer, versions: int) -> None:
    for op in ("pca", "forest"):
        fill(memory, op, versions, stored=True)
    memory.store.register_pipeline("churn", ["pca", "forest"])
    with counted(memory) as statements:
        assert len(memory.store.set_history("churn", since="0").changes) == 2 * versions
    assert len(statements) <= 4 + 2 * 3 + 16, "the pipeline, three queries for each op, the entries of the page"


def test_versions_are_read_in_blocks(memory: OpStoreServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(set_history, "BLOCK", 7)
    fill(memory, "pca", 20, stored=True)
    memory.store.yank("pca@1.0.19", "drift")
    memory.store.register_pipeline("alone", ["pca"])
    found = memory.store.set_history("alone")
    assert [change.version for change in found.changes] == [*(f"1.0.{n}" for n in range(20)), "1.0.18"]


def test_the_history_of_too_many_versions_ends_with_the_budget(
    memory: OpStoreServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("opstore_daemon.rules.budget.STEPS", 400)
    fill(memory, "pca", 60, stored=True)
    memory.store.register_pipeline("alone", ["pca"])
    with pytest.raises(errors.TooMuchWork, match="to follow the versions of alone"):
        memory.store.set_history("alone")


def test_bytes_that_came_later_change_nothing_before(memory: OpStoreServer) -> None:
    store = memory.store
    store.register("pca", subversions="aaaa.aaaa.aaaa")
    store.register_pipeline("alone", ["pca"])
    store.register("pca", subversions="bbbb.aaaa.aaaa")
    store.push("pca", b"bytes", subversions="aaaa.aaaa.aaaa")
    changes = store.set_history("alone").changes
    assert [change.position for change in changes] == [1, 3, 4]
    assert store.set_history("alone", until="3").changes == changes[:2]


def test_a_page_continues_the_one_before(memory: OpStoreServer) -> None:
    fill(memory, "pca", scaled(50), stored=True)
    memory.store.register_pipeline("alone", ["pca"])
    whole = memory.store.set_history("alone")
    changes: list[SetChange] = []
    after: int | None = None
    for _ in range(10 * len(whole.changes)):
        page = memory.store.set_history_page("alone", after, 2)
        assert (page.versions, page.since, len(page.changes) <= 2) == (whole.versions, 0, True)
        changes += page.changes
        if page.next_cursor is None:
            break
        after = int(page.next_cursor)
    assert tuple(changes) == whole.changes
