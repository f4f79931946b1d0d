"""The limits of a resolution in the store: steps, time, its client, and how many searches run at once."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from itertools import product
from types import SimpleNamespace

import pytest

from benchmarks.filled import fill
from opstore_daemon import OpStoreServer
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.names import OpName
from opstore_daemon.protocol.records import Resolution
from opstore_daemon.protocol.references import Reference
from opstore_daemon.rules import budget
from opstore_daemon.rules.budget import CHECKPOINT_STEPS, ROW_STEPS
from opstore_daemon.savers import MemorySaver
from opstore_daemon.store import snapshot as snapshots
from opstore_daemon.store.catalog import links
from opstore_daemon.store.catalog.ops import get as find_op
from opstore_daemon.store.catalog.references import find_version
from opstore_daemon.store.journal import Stamp
from opstore_daemon.store.reports import overview
from opstore_daemon.store.snapshot import Snapshot
from opstore_daemon.store.store import Store
from opstore_daemon.store.validity import verdicts
from opstore_daemon.store.validity.resolution import Resolver
from opstore_daemon.store.validity.searches import RUNNING, WAITING, Searches
from tests.daemon.rules.hard_graphs import complete
from tests.support.examples import is_all
from tests.support.places import Place
from tests.support.waiting import WITHIN, wait_for

SEARCHES = "opstore_daemon.store.validity.searches"
CHAIN = [f"op{place:02d}" for place in range(20)]
BACK = 1000 if is_all() else 500
FEW = 30_000
LIMIT = f"{FEW + budget.EDGE_STEPS * len(complete(10)[1]):,} steps"  # of `hard`, with STEPS of FEW


def fill_complete(store: Store, name: str, ops: int, versions: int) -> None:
    """Register a complete graph whose edges are valid between versions of different numbers: it has no colouring."""
    names, edges = (
        [f"{name}_{op}" for op in complete(ops)[0]],
        [(f"{name}_{u}", f"{name}_{d}") for u, d in complete(ops)[1]],
    )
    for op in names:
        for version in range(versions):
            store.register(op, subversions=f"{version:04x}.0000.0000")
        store.set_op(op, compat="exact")
    store.register_pipeline(name, names, edges)
    numbers = [f"{version + 1}.0.0" for version in range(versions)]
    # One transaction, and nothing is looked up: it would take a minute on files.
    with store.database.write() as connection:
        snapshot = Snapshot(connection)
        rows_of_ops = {op: find_op(snapshot, OpName(op)) for op in names}
        rows = {
            (op, number): find_version(snapshot, Reference.parse(f"{op}@{number}"))
            for op in names
            for number in numbers
        }
        for (up, down), one, other in product(edges, numbers, numbers):
            if one != other:
                key = links.LinkKey(rows[up, one], rows_of_ops[down], rows[down, other])
                links._write(connection, key, "valid", None, Stamp(0))


@pytest.fixture(scope="module")
def store(lasting_place: Place) -> Iterator[Store]:
    """Return a store with two pipelines without a resolution: `small`, and `hard`, which nobody can prove."""
    with closing(lasting_place.open()) as server:
        fill_complete(server.store, "small", 5, 4)
        fill_complete(server.store, "hard", 10, 8)
        yield server.store


@pytest.fixture(scope="module")
def chain() -> Iterator[OpStoreServer]:
    """Return a store with a chain of 20 ops whose newest versions are valid for nothing."""
    with closing(OpStoreServer(MemorySaver())) as server:
        fill(server, CHAIN, BACK + 200, BACK)
        for op in CHAIN:
            server.store.set_op(op, compat="exact")
        yield server


@pytest.fixture
def spent(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list of the steps of each resolution that ended."""
    found: list[int] = []
    original = Resolver.resolve

    def resolve(resolver: Resolver) -> Resolution:
        try:
            return original(resolver)
        finally:
            found.append(resolver._budget.spent)

    monkeypatch.setattr(Resolver, "resolve", resolve)
    return found


@pytest.mark.slow
def test_a_hard_pipeline_is_an_error_that_names_the_ops_with_the_most_conflicts(
    store: Store, spent: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budget, "STEPS", FEW)
    for _ in range(2):
        with pytest.raises(errors.ResolutionTooHard) as raised:
            store.resolve("hard")
    assert spent[0] == spent[1]
    assert (raised.value.status, raised.value.exit_code) == (422, 10)
    details = raised.value.details
    assert (details["pipeline"], details["limit"], len(details["ops"])) == ("hard", LIMIT, budget.NAMED_OPS)
    assert set(details["ops"]) <= {f"hard_{op}" for op in complete(10)[0]}
    assert f"can't resolve hard within {LIMIT}; the ops that conflict most: hard_op" in raised.value.text


def test_all_passes_of_a_request_share_the_budget(
    store: Store, spent: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The search, the one that accepts what is unknown, and the smallest conflict."""
    whole = store.resolve("small")
    assert (whole.verdict, len(whole.conflict), whole.explained) == ("invalid", 10, True)
    edge_steps = budget.EDGE_STEPS * len(whole.edges)
    monkeypatch.setattr(budget, "STEPS", spent[0] - edge_steps - 1)
    assert store.resolve("small") == Resolution(
        pipeline="small",
        verdict="invalid",
        versions=(),
        edges=whole.edges,
        skipped=(),
        conflict=(),
        explained=False,
        position=whole.position,
    )
    enough, too_few = spent[0], -edge_steps
    while enough - too_few > 1:  # the steps that suffice for the verdict
        monkeypatch.setattr(budget, "STEPS", (enough + too_few) // 2)
        try:
            store.resolve("small")
            enough = budget.STEPS
        except errors.ResolutionTooHard:
            too_few = budget.STEPS
    assert 0 < enough + edge_steps < spent[0]


@pytest.mark.slow
def test_a_set_that_is_found_is_returned_even_if_the_budget_does_not_suffice_for_all_reasons(
    chain: OpStoreServer, spent: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = chain.store.resolve("chain")
    monkeypatch.setattr(budget, "STEPS", spent[0] - budget.EDGE_STEPS * len(whole.edges) - 1000)
    part = chain.store.resolve("chain")
    assert (whole.explained, part.explained) == (True, False)
    assert part.versions == whole.versions
    assert 0 < len(part.skipped) < len(whole.skipped) == BACK * len(CHAIN)
    assert part.skipped == whole.skipped[: len(part.skipped)]


@pytest.mark.slow
def test_realistic_pipelines_stay_far_below_the_budget(chain: OpStoreServer, spent: list[int]) -> None:
    found = chain.store.resolve("chain")
    lock = found.lock()
    for op in (CHAIN[0], CHAIN[10], CHAIN[-1]):
        assert chain.store.resolve("chain", lock=lock, upgrade=op).versions == found.versions
    assert max(spent) < budget.STEPS / 5, spent
    assert max(spent) < 1.2 * spent[0], "an upgrade takes hardly more than the resolution"


def test_a_wide_pipeline_stays_far_below_the_budget(memory: OpStoreServer, spent: list[int]) -> None:
    ups = [f"up{place:03d}" for place in range(100)]
    for op in (*ups, "down"):
        memory.store.push(op, b"bytes")
        memory.store.push(op, b"more")
    for op in ups:
        memory.store.link(f"{op}@1.0.0", "down@1.0.0")
    memory.store.register_pipeline("wide", [*ups, "down"], [(op, "down") for op in ups])
    assert memory.store.resolve("wide").verdict == "valid"
    assert max(spent) < budget.STEPS / 4, spent


# --- other searches through many versions -------------------------------------------------------------------------


@pytest.mark.slow
def test_a_selection_among_many_versions_ends_with_the_budget(
    chain: OpStoreServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = chain.store
    assert len(store.versions("op03", valid_for=["op04@1.0.0"], limit=1).skipped) > BACK
    monkeypatch.setattr(budget, "STEPS", ROW_STEPS * BACK)
    for narrow in ("op03@2", "op03@1.0.0"):
        assert store.versions(narrow, valid_for=["op04@1.0.0"], limit=1).op == "op03"
    for downstreams, reference in ((["op04@1.0.0"], "op03"), ([], "op03@>=1,!=1.*,!=2.*,!=12.*,<13")):
        with pytest.raises(
            errors.TooMuchWork, match=rf"^to find versions of op03.* takes more than {ROW_STEPS * BACK:,} steps$"
        ) as raised:
            store.versions(reference, valid_for=downstreams, limit=1000)
        assert (raised.value.status, raised.value.exit_code) == (422, 10)


def test_the_ranges_of_a_request_look_at_a_limited_number_of_versions(
    chain: OpStoreServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = chain.store
    nowhere = "op03@>=1," + ",".join(f"!={major}.*" for major in range(1, 14))
    with pytest.raises(errors.VersionNotFound):
        store.show(nowhere)
    monkeypatch.setattr(snapshots, "RANGE_STEPS", ROW_STEPS * BACK)
    for ask in (
        lambda: store.show(nowhere),
        lambda: store.push("new", b"bytes", valid_for=["op05@1.0.0", nowhere]),
        lambda: store.link("op02@1.0.0", nowhere),
    ):
        with pytest.raises(errors.TooMuchWork, match=rf"^to find op03@.* takes more than {ROW_STEPS * BACK:,} steps$"):
            ask()
    assert store.show("op03@>=1").op == "op03"


def test_each_downstream_of_a_selection_counts_once(chain: OpStoreServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "STEPS", 5000)
    assert chain.store.versions("op03@1.0.0", valid_for=["op04@1.0.0"] * 3000).op == "op03"
    many = [f"{op}@{number}.0.0" for op in CHAIN[4:] for number in (1, 2)]
    with pytest.raises(errors.TooMuchWork):
        chain.store.versions("op03@1.0.0", valid_for=many)


def test_following_what_a_version_affects_ends_with_the_budget(
    chain: OpStoreServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(chain.store.affected("op00").affected) == len(CHAIN) - 1
    monkeypatch.setattr(budget, "STEPS", 2000)
    with pytest.raises(errors.TooMuchWork, match=r"^to find all ops that op00 affects takes more than 2,000 steps$"):
        chain.store.affected("op00")
    assert chain.store.affected("op18").affected[0].op == "op19"


# --- time and the client --------------------------------------------------------------------------------------------


def test_a_timeout_is_an_additional_limit(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter(range(10**9))
    monkeypatch.setattr(f"{SEARCHES}.time", SimpleNamespace(monotonic=lambda: next(now)))
    with pytest.raises(errors.ResolutionTooHard, match=r"^can't resolve hard within 3 s; "):
        store.resolve("hard", timeout=3)
    assert next(now) == 5, "the clock is read at the beginning and at each checkpoint"
    for wrong in (0, -1, 3601, float("nan")):
        with pytest.raises(errors.InvalidRequest, match="the timeout has to be"):
            store.resolve("small", timeout=wrong)


def test_a_search_ends_at_the_first_checkpoint_after_its_client_has_gone(store: Store, spent: list[int]) -> None:
    looks = iter([False, False, True])
    with pytest.raises(errors.ConnectionLost):
        store.resolve("hard", is_cancelled=lambda: next(looks))
    assert spent[0] < 4 * CHECKPOINT_STEPS
    assert next(looks, None) is None


def test_a_search_in_a_database_in_memory_keeps_nobody_waiting(store: Store) -> None:
    reached, go_on = threading.Event(), threading.Event()

    def wait_at_checkpoint() -> bool:
        reached.set()
        assert go_on.wait(WITHIN)
        return True

    def search() -> None:
        with pytest.raises(errors.ConnectionLost):
            store.resolve("hard", is_cancelled=wait_at_checkpoint)

    with ThreadPoolExecutor() as pool:
        try:
            searching = pool.submit(search)
            assert reached.wait(WITHIN)
            assert pool.submit(store.push, "meanwhile", b"bytes").result(WITHIN).created
            assert pool.submit(store.show, "meanwhile").result(WITHIN).version == "1.0.0"
        finally:
            go_on.set()
        searching.result(WITHIN)


# --- several at once ------------------------------------------------------------------------------------------------


def too_hard(limit: str, _ops: list[str]) -> errors.OpStoreError:
    return errors.TooMuchWork(question="it", limit=limit)


class Held:
    """A search in a thread, which stays at its checkpoint until `release`."""

    def __init__(self, slots: Searches) -> None:
        self.gone = threading.Event()
        self.error: BaseException | None = None
        self._slots = slots
        self._released = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            with self._slots.budget(self.gone.is_set, too_hard) as steps:
                steps.spend(CHECKPOINT_STEPS)
                self._released.wait()
        except errors.OpStoreError as error:
            self.error = error

    def release(self) -> None:
        self._released.set()

    def join(self) -> None:
        self.release()
        self._thread.join()


@pytest.fixture
def hold() -> Iterator[Callable[[Searches], Held]]:
    """Return a function that starts a held search."""
    started: list[Held] = []

    def start(slots: Searches) -> Held:
        started.append(Held(slots))
        return started[-1]

    yield start
    for held in started:
        held.join()


def test_few_long_searches_run_few_wait_and_more_are_refused(hold: Callable[[Searches], Held]) -> None:
    slots = Searches()
    running = [hold(slots) for _ in range(RUNNING)]
    wait_for(lambda: slots.running == RUNNING)
    waiting = [hold(slots) for _ in range(WAITING)]
    wait_for(lambda: slots.waiting == WAITING)
    refused = hold(slots)
    refused.join()
    assert isinstance(refused.error, errors.TooManySearches)
    assert (refused.error.status, refused.error.exit_code) == (503, 10)

    with slots.budget(lambda: False, too_hard) as steps:
        steps.spend(CHECKPOINT_STEPS - 1)  # a short one needs no place

    waiting[0].gone.set()  # its client goes while it waits
    waiting[0].join()
    assert isinstance(waiting[0].error, errors.ConnectionLost)
    running[0].join()
    wait_for(lambda: (slots.running, slots.waiting) == (RUNNING, 0), "the last one that waits runs")
    for held in (*running, *waiting):
        held.join()
    assert (slots.running, slots.waiting) == (0, 0)
    assert [held.error for held in (*running, waiting[1])] == [None] * 3


def test_the_verdict_of_a_large_pipeline_needs_a_place(
    store: Store, hold: Callable[[Searches], Held], monkeypatch: pytest.MonkeyPatch
) -> None:
    held = [hold(store.searches) for _ in range(RUNNING + WAITING)]
    wait_for(lambda: (store.searches.running, store.searches.waiting) == (RUNNING, WAITING))
    small = store.validate_pipeline("hard")
    monkeypatch.setattr(verdicts, "FEW_EDGES", len(small.edges) - 1)
    monkeypatch.setattr(overview, "MAX_EDGES", len(small.edges) - 1)
    for ask in (lambda: store.validate_pipeline("hard"), lambda: store.pipeline_lines("", 1)):
        with pytest.raises(errors.TooManySearches):
            ask()
    assert store.validate_pipeline("small").verdict == store.pipeline_lines("hard", 1)[0].verdict
    for each in held:
        each.join()
    assert store.validate_pipeline("hard") == small
    with pytest.raises(errors.ConnectionLost):
        store.pipeline_verdict("hard", is_cancelled=lambda: True)


def test_a_place_is_given_back_however_a_search_ends(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "STEPS", FEW)
    slots = store.searches
    looks = iter([False, True])
    with pytest.raises(errors.ResolutionTooHard):
        store.resolve("hard")
    with pytest.raises(errors.ConnectionLost):
        store.resolve("hard", is_cancelled=lambda: next(looks))
    with suppress(RuntimeError), slots.budget(lambda: False, too_hard) as steps:
        steps.spend(CHECKPOINT_STEPS)
        raise RuntimeError
    assert (slots.running, slots.waiting) == (0, 0)
