"""The store's resolutions and affected ops, compared with the oracle on random histories."""

import pytest
from hypothesis import HealthCheck, given

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.records import Lock, LockedVersion
from opstore_daemon.rules.resolution import Edge
from opstore_daemon.store.store import Store
from tests.daemon.rules import oracle
from tests.daemon.rules.test_resolution import cases
from tests.support.examples import examples

_examples = iter(range(1_000_000))


class Played:
    """A history played in a store under unique names, without its removals."""

    def __init__(self, store: Store, history: oracle.History) -> None:
        self.store, self.prefix = store, f"r{next(_examples)}"
        self.history: list[oracle.Event] = []
        for event in history:
            if not isinstance(event, oracle.Removed):
                self._do(event)

    def name(self, op: str) -> str:
        return f"{self.prefix}_{op}"

    def number(self, op: str, version: oracle.Subversions) -> str:
        return ".".join(map(str, oracle.number(self.history, op, version)))

    def reference(self, op: str, version: oracle.Subversions) -> str:
        return f"{self.name(op)}@{self.number(op, version)}"

    def _do(self, event: oracle.Event) -> None:
        match event:
            case oracle.Registered(op, version, stored):
                text = ".".join(version)
                if stored:
                    self.store.push(self.name(op), text.encode(), subversions=text)
                else:
                    self.store.register(self.name(op), subversions=text)
            case oracle.LevelSet(op, level):
                try:
                    self.store.set_op(self.name(op), compat=level)
                except errors.OpNotFound:
                    return
            case oracle.Yanked(op, version, back):
                reference = self.reference(op, version)
                self.store.unyank(reference) if back else self.store.yank(reference, "for a reason")
            case oracle.Linked():
                self._link(event)
        self.history.append(event)

    def _link(self, event: oracle.Linked) -> None:
        up, down = self.reference(event.upstream, event.upstream_version), f"{self.name(event.downstream)}@any"
        self.store.register_pipeline(self.name(event.downstream), [self.name(event.downstream)])
        if event.downstream_version is not None:
            down = self.reference(event.downstream, event.downstream_version)
        if event.state == "revoked":
            try:
                self.store.unlink(up, down)
            except errors.LinkNotFound:
                assert oracle.in_force(self.history, *event.key) is None
        else:
            self.store.link(up, down, valid=event.state == "valid")


@pytest.mark.slow
@pytest.mark.oracle
@pytest.mark.timeout(900)
@examples(600, *HealthCheck)
@given(cases())
def test_the_store_and_the_oracle_agree_on_resolutions_and_affected_ops(
    shared: Store, case: tuple[oracle.History, list[str], list[Edge]]
) -> None:
    history, ops, edges = case
    played = Played(shared, history)
    pipeline = played.name("p")
    shared.register_pipeline(
        pipeline, [played.name(op) for op in ops], [(played.name(u), played.name(d)) for u, d in edges]
    )
    check_resolution(played, pipeline, ops, edges)
    check_upgrades(played, pipeline, ops, edges)
    for op in ops:
        for version in oracle.versions(played.history, op):
            told = shared.affected(played.reference(op, version), pipeline=pipeline)
            expected = oracle.affected(played.history, op, version, edges)
            assert {each.op for each in told.affected} == {played.name(each) for each in expected}


def check_resolution(played: Played, pipeline: str, ops: list[str], edges: list[Edge]) -> None:
    told = played.store.resolve(pipeline)
    expected = oracle.resolution(played.history, ops, edges)
    if isinstance(expected, str):
        assert told.verdict == {"no": "invalid", "unknown": "unknown"}[expected]
        assert told.versions == ()
        assert told.conflict or told.skipped
        return
    numbers = {played.name(op): played.number(op, version) for op, version in expected.items()}
    assert {version.op: version.version for version in told.versions} == numbers
    newer = {
        (played.name(op), played.number(op, version))
        for op in ops
        for version in oracle.candidates(played.history, op)
        if oracle.versions(played.history, op).index(version) > oracle.versions(played.history, op).index(expected[op])
    }
    assert {(passed.op, passed.version) for passed in told.skipped} == newer
    assert all(passed.reason for passed in told.skipped)
    use = [f"{version.op}@{version.version}" for version in told.versions]
    assert played.store.validate_pipeline(pipeline, use=use).verdict == "valid"


def check_upgrades(played: Played, pipeline: str, ops: list[str], edges: list[Edge]) -> None:
    """Upgrade each op of the oldest valid set: "moves that op, and only what must move with it"."""
    history, order = played.history, oracle.resolution_order(ops, edges)
    found = oracle.sets(history, ops, edges, ["valid"])

    def sequences(chosen: dict[str, oracle.Subversions]) -> list[int]:
        return [oracle.versions(history, op).index(chosen[op]) for op in order]

    if not found:
        return
    locked = min(found, key=sequences)
    for op in ops:
        newest = max((chosen[op] for chosen in found), key=oracle.versions(history, op).index)
        possible = [chosen for chosen in found if chosen[op] == newest]
        for other in order:
            if other != op:
                keeping = [chosen for chosen in possible if chosen[other] == locked[other]]
                possible = keeping or possible
        expected = max(possible, key=sequences)
        shown = [played.store.show(played.reference(each, version)) for each, version in locked.items()]
        pinned = [
            LockedVersion(op=each.op, subversions=each.subversions, digest=each.digest, size=each.size)
            for each in shown
        ]
        lock = Lock(edges=played.store.pipeline(pipeline).edges, versions=tuple(pinned))
        told = played.store.resolve(pipeline, lock=lock, upgrade=played.name(op))
        numbers = {played.name(each): played.number(each, version) for each, version in expected.items()}
        assert {version.op: version.version for version in told.versions} == numbers
