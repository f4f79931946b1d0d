"""The store's verdicts, compared with the oracle on random histories: every rule of docs/rules.md."""

from dataclasses import dataclass, field, replace
from itertools import product

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.names import OpName
from opstore_daemon.protocol.records import Compat
from opstore_daemon.protocol.versions import VersionNumber
from opstore_daemon.rules.verdict import EdgeLinks, LinkInForce
from opstore_daemon.store.catalog import ops, version_rows
from opstore_daemon.store.catalog.version_rows import VersionRow
from opstore_daemon.store.snapshot import Snapshot
from opstore_daemon.store.store import Store
from opstore_daemon.store.validity import verdicts
from opstore_daemon.store.validity.verdicts import Chosen
from tests.daemon.rules import oracle
from tests.daemon.rules.histories import LinkStep
from tests.support.examples import examples

OPS = ("up", "down", "side")
HASHES = ("aaaa", "bbbb", "cccc")


@dataclass(frozen=True)
class Add:
    """A version of an op: pushed, or registered only."""

    op: str
    version: oracle.Subversions
    stored: bool


@dataclass(frozen=True)
class Again:
    """Another link between the versions of an earlier one, which is given by index.

    `across`: for the op if that one is for a version of it, and the other way round.
    """

    pick: int
    state: oracle.State
    across: bool


@dataclass(frozen=True)
class SetLevel:
    """A compatibility level."""

    op: str
    level: Compat


ops_picked = st.sampled_from(("up", "up", "up", "down", "side"))
stored = st.sampled_from((False, False, True))
adds = st.builds(Add, ops_picked, st.tuples(*[st.sampled_from(HASHES)] * 3), stored)
pairs = st.sampled_from((("up", "down"), ("up", "down"), ("up", "down"), ("up", "side"), ("down", "up")))
links = st.builds(
    lambda pair, u, d, state: LinkStep(pair[0], u, pair[1], d, state),
    pairs,
    st.integers(0, 5),
    st.none() | st.integers(0, 3),
    st.sampled_from(("valid", "valid", "valid", "invalid", "revoked")),
)
agains = st.builds(
    Again, st.integers(0, 9), st.sampled_from(("revoked", "revoked", "valid", "invalid", "invalid")), st.booleans()
)
levels = st.builds(SetLevel, st.sampled_from(OPS), st.sampled_from(("major", "minor", "exact")))
histories = st.tuples(
    st.lists(adds, min_size=3, max_size=9),
    st.lists(st.one_of(links, links, links, agains, agains, adds, levels), min_size=4, max_size=18),
).map(lambda parts: [*parts[0], *parts[1]])


Step = Add | LinkStep | Again | SetLevel


@dataclass
class World:
    """A store and the oracle's history of it; the ops of each example have a unique prefix."""

    store: Store
    prefix: str
    history: list[oracle.Event] = field(default_factory=list)

    def name(self, op: str) -> str:
        return f"{self.prefix}_{op}"

    def reference(self, op: str, version: oracle.Subversions) -> str:
        """Return a reference to the version by its number."""
        return f"{self.name(op)}@" + ".".join(map(str, oracle.number(self.history, op, version)))

    def do(self, step: Step) -> None:
        """Play the step in the store and in the history."""
        match step:
            case Add():
                self._add(step)
            case SetLevel(op, level):
                if oracle.versions(self.history, op):
                    self.store.set_op(self.name(op), compat=level)
                    self.history.append(oracle.LevelSet(op, level))
            case LinkStep():
                self._link(step)
            case Again(pick, state, across):
                entered = [event for event in self.history if isinstance(event, oracle.Linked)]
                if entered:
                    entry = replace(entered[pick % len(entered)], state=state)
                    self._enter(self._across(entry) if across else entry)

    def _add(self, step: Add) -> None:
        op, version, stored = step.op, step.version, step.stored
        text = ".".join(version)
        if op not in self.known():
            self.history.append(oracle.LevelSet(op, "major"))
        if stored:
            self.store.push(self.name(op), text.encode(), subversions=text, new_ops="major")
        else:
            self.store.register(self.name(op), subversions=text, new_ops="major")
        self.history.append(oracle.Registered(op, version, stored))

    def _across(self, entry: oracle.Linked) -> oracle.Linked:
        """Return the link for the op instead of its version, or for its latest version."""
        latest = oracle.latest(self.history, entry.downstream) if entry.downstream_version is None else None
        return replace(entry, downstream_version=latest)

    def _link(self, step: LinkStep) -> None:
        ups = oracle.versions(self.history, step.upstream)
        downs = oracle.versions(self.history, step.downstream)
        if not ups or (step.downstream_pick is not None and not downs):
            return
        up = ups[step.upstream_pick % len(ups)]
        down = None if step.downstream_pick is None else downs[step.downstream_pick % len(downs)]
        self._enter(oracle.Linked(step.upstream, up, step.downstream, down, step.state))

    def _enter(self, entry: oracle.Linked) -> None:
        upstream = self.reference(entry.upstream, entry.upstream_version)
        downstream = (
            f"{self.name(entry.downstream)}@any"
            if entry.downstream_version is None
            else self.reference(entry.downstream, entry.downstream_version)
        )
        if self.name(entry.downstream) not in {op.name for op in self.store.ops()}:
            with pytest.raises(errors.OpNotFound):
                self.store.link(upstream, downstream)
            self.store.register_pipeline(downstream.partition("@")[0], [self.name(entry.downstream)])
        if entry.state != "revoked":
            self.store.link(upstream, downstream, valid=entry.state == "valid")
        elif oracle.in_force(self.history, *entry.key) is None:
            with pytest.raises(errors.LinkNotFound):
                self.store.unlink(upstream, downstream)
            return
        else:
            self.store.unlink(upstream, downstream)
        self.history.append(entry)

    def known(self) -> list[str]:
        """Return the ops of the store by the oracle's names."""
        there = {op.name for op in self.store.ops()}
        return [op for op in OPS if self.name(op) in there]


_examples = iter(range(1_000_000))


def played(store: Store, steps: list[Step]) -> World:
    """Return the world after these steps."""
    world = World(store, f"w{next(_examples)}")
    for step in steps:
        world.do(step)
    return world


def links_between(world: World, up: str, down: str) -> list[LinkInForce]:
    """Return all links in force between two ops, as the store lists them."""
    return [
        LinkInForce(
            VersionNumber.parse(link.upstream_version),
            None if link.downstream_version is None else VersionNumber.parse(link.downstream_version),
            link.valid,
            link.position,
        )
        for link in world.store.links(world.name(up))
        if (link.upstream, link.downstream) == (world.name(up), world.name(down))
    ]


def check_every_verdict(world: World) -> None:
    """Compare each pair of versions, in blocks as the store reads them, and also by all links."""
    known = world.known()
    for up, down in (("up", "down"), ("up", "side"), ("down", "up")):
        if up not in known or down not in known:
            continue
        everything = links_between(world, up, down)
        ups, downs = oracle.versions(world.history, up), oracle.versions(world.history, down)
        with world.store.database.read() as connection:
            snapshot = Snapshot(connection)
            upstream, downstream = (ops.get(snapshot, OpName(world.name(op))) for op in (up, down))
            rows = version_rows.rows(snapshot, upstream.id)
            rows.sort(key=lambda row: row.sequence)
            down_rows = version_rows.rows(snapshot, downstream.id)
            down_rows.sort(key=lambda row: row.sequence)
            targets: list[tuple[oracle.Subversions | None, VersionRow | None]] = list(
                zip(downs, down_rows, strict=True)
            ) or [(None, None)]
            for down_version, target in targets:
                to = Chosen(downstream, target)
                found = verdicts.verdicts(snapshot, upstream, rows, to)
                if (up, target) == ("up", targets[-1][1]):
                    assert found == [verdicts.verdicts(snapshot, upstream, [row], to)[0] for row in rows]
                for up_version, row, told in zip(ups, rows, found, strict=True):
                    assert told.basis == oracle.basis(world.history, up, up_version, down, down_version)
                    number = None if target is None else target.number
                    every_link = EdgeLinks(upstream.name, downstream.name, upstream.compat, everything)
                    assert told == every_link.verdict(row.number, number), "the relevant links decide as all links do"


def check_validate(world: World, up_pick: int, down_pick: int) -> None:
    """Compare `validate` for one edge."""
    ups, downs = oracle.versions(world.history, "up"), oracle.versions(world.history, "down")
    if ups and downs:
        up, down = ups[up_pick % len(ups)], downs[down_pick % len(downs)]
        told = world.store.validate(world.reference("up", up), world.reference("down", down))
        assert told.verdict == oracle.verdict(world.history, "up", up, "down", down)


def check_selection(world: World, targets: list[str], limit: int | None) -> None:
    """Compare the versions that are valid for all targets, and the newer ones that were skipped."""
    history = world.history
    told = world.store.versions(world.name("up"), valid_for=[world.name(op) for op in targets], limit=limit)
    stored = [version for version in oracle.versions(history, "up") if oracle.is_stored(history, "up", version)]
    candidates = list(reversed(stored or oracle.versions(history, "up")))
    words = {
        version: oracle.over_all(
            [oracle.verdict(history, "up", version, op, oracle.latest(history, op)) for op in targets]
        )
        for version in candidates
    }
    valid = [version for version in candidates if words[version] == "valid"]
    assert [found.subversions for found in told.versions] == [".".join(version) for version in valid[:limit]]
    newer = candidates[: candidates.index(valid[0])] if valid else candidates
    assert [VersionNumber.parse(passed.version) for passed in told.skipped] == [
        oracle.number(history, "up", version) for version in newer
    ]
    if valid:
        assert told.verdict == "valid"
    elif len(targets) == 1:
        linked = any_in_force(history, "up", targets[0])
        assert told.verdict == ("invalid" if linked else "unknown")


def any_in_force(history: oracle.History, up: str, down: str) -> bool:
    """Return whether any link between the two ops is in force."""
    ups, downs = oracle.versions(history, up), oracle.versions(history, down)
    return any(oracle.in_force(history, up, u, down, d) for u, d in product(ups, [*downs, None]))


def check_numbers(world: World) -> None:
    """Compare numbers, sequences and the latest version."""
    for op in world.known():
        expected = oracle.versions(world.history, op)
        found = list(reversed(world.store.versions(world.name(op)).versions))
        assert [record.subversions for record in found] == [".".join(version) for version in expected]
        assert [record.sequence for record in found] == list(range(1, len(expected) + 1))
        assert [VersionNumber.parse(record.version) for record in found] == [
            oracle.number(world.history, op, version) for version in expected
        ]
        latest = oracle.latest(world.history, op)
        number = None if latest is None else ".".join(map(str, oracle.number(world.history, op, latest)))
        assert world.store.op(world.name(op)).latest == number
        if latest is not None:
            assert world.store.show(world.name(op)).version == number


@pytest.mark.oracle
@examples(500, *HealthCheck)
@given(
    steps=histories,
    picks=st.tuples(st.integers(0, 9), st.integers(0, 9)),
    targets=st.sampled_from((["down"], ["side"], ["down", "side"])),
    limit=st.none() | st.integers(1, 3),
)
def test_the_store_and_the_oracle_agree_on_verdicts(
    shared: Store,
    steps: list[Step],
    picks: tuple[int, int],
    targets: list[str],
    limit: int | None,
) -> None:
    world = played(shared, steps)
    check_numbers(world)
    check_every_verdict(world)
    check_validate(world, *picks)
    if {"up", *targets} <= set(world.known()):
        check_selection(world, targets, limit)
