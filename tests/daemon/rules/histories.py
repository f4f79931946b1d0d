"""Histories of a store for the tests of the rules, made of steps that are possible after any history."""

from collections.abc import Sequence
from dataclasses import dataclass

from hypothesis import strategies as st

from opstore_daemon.protocol.records import Compat
from opstore_daemon.protocol.versions import VersionNumber
from opstore_daemon.rules.verdict import LinkInForce
from tests.daemon.rules import oracle

OPS = ("a", "b", "c", "d")
HASHES = ("aaaa", "bbbb", "cccc")
LEVELS: tuple[Compat, ...] = ("major", "minor", "exact")
MOST_VERSIONS = 6


@dataclass(frozen=True)
class LinkStep:
    """A link whose versions are picked, by index, among those registered by then."""

    upstream: str
    upstream_pick: int
    downstream: str
    downstream_pick: int | None
    state: oracle.State


@dataclass(frozen=True)
class RemoveStep:
    """A removal of a version that is picked by index."""

    op: str
    pick: int


@dataclass(frozen=True)
class YankStep:
    """A yank, or its end (`back`), of a version that is picked by index."""

    op: str
    pick: int
    back: bool


Step = oracle.Registered | oracle.LevelSet | LinkStep | RemoveStep | YankStep

picks = st.integers(0, MOST_VERSIONS - 1)
two_ops = st.permutations(OPS[:2]) | st.permutations(OPS).map(lambda ops: ops[:2])
registrations = st.builds(
    oracle.Registered, st.sampled_from(OPS), st.tuples(*[st.sampled_from(HASHES)] * 3), st.booleans()
)
links = st.builds(
    lambda ops, u, d, state: LinkStep(ops[0], u, ops[1], d, state),
    two_ops,
    picks,
    st.none() | picks,
    st.sampled_from(["valid", "valid", "invalid", "revoked"]),
)
levels = st.builds(oracle.LevelSet, st.sampled_from(OPS), st.sampled_from(LEVELS))
removals = st.builds(RemoveStep, st.sampled_from(OPS), picks)
first_steps: st.SearchStrategy[list[Step]] = st.lists(registrations, min_size=2, max_size=12)
next_steps: st.SearchStrategy[list[Step]] = st.lists(
    links | links | links | links | registrations | levels | removals, max_size=14
)


def picked(history: oracle.History, op: str, index: int) -> oracle.Subversions | None:
    """Return one of the versions of the op that are not removed, or None."""
    present = [v for v in oracle.versions(history, op) if not oracle.is_removed(history, op, v)]
    return present[index % len(present)] if present else None


def event_of(history: oracle.History, step: Step) -> oracle.Event | None:
    """Return the event that the step is after this history, or None if it is impossible."""
    if isinstance(step, oracle.Registered):
        known = {*oracle.versions(history, step.op), step.version}
        fits = len(known) <= MOST_VERSIONS and not oracle.is_removed(history, step.op, step.version)
        return step if fits else None
    if isinstance(step, RemoveStep):
        gone = picked(history, step.op, step.pick)
        return oracle.Removed(step.op, gone) if gone else None
    if isinstance(step, YankStep):
        yanked = picked(history, step.op, step.pick)
        return oracle.Yanked(step.op, yanked, step.back) if yanked else None
    if isinstance(step, LinkStep):
        bare = step.downstream_pick is None
        up = picked(history, step.upstream, step.upstream_pick)
        down = None if step.downstream_pick is None else picked(history, step.downstream, step.downstream_pick)
        return oracle.Linked(step.upstream, up, step.downstream, down, step.state) if up and (bare or down) else None
    return step


def history_of(steps: Sequence[Step]) -> list[oracle.Event]:
    """Return the history of these steps, without the impossible ones."""
    history: list[oracle.Event] = []
    for step in steps:
        event = event_of(history, step)
        if event is not None:
            history.append(event)
    return history


histories = st.builds(lambda first, then: history_of([*first, *then]), first_steps, next_steps)


def numbers(history: oracle.History, op: str) -> dict[oracle.Subversions, VersionNumber]:
    return {version: VersionNumber(*oracle.number(history, op, version)) for version in oracle.versions(history, op)}


def in_force(history: oracle.History, up: str, down: str) -> list[LinkInForce]:
    """Return the links in force between the two ops, as a store passes them to the rule."""
    found: dict[tuple[oracle.Subversions, oracle.Subversions | None], LinkInForce] = {}
    ups, downs = numbers(history, up), numbers(history, down)
    for position, event in enumerate(history, start=1):
        if isinstance(event, oracle.Removed):
            found = {
                (u, d): link
                for (u, d), link in found.items()
                if (up, u) != (event.op, event.version) and (down, d) != (event.op, event.version)
            }
        elif isinstance(event, oracle.Linked) and (event.upstream, event.downstream) == (up, down):
            u, d = event.upstream_version, event.downstream_version
            found.pop((u, d), None)
            if event.state != "revoked":
                found[u, d] = LinkInForce(ups[u], downs[d] if d else None, event.state == "valid", position)
    return list(found.values())


def histories_for(ops: Sequence[str], edges: Sequence[tuple[str, str]]) -> st.SearchStrategy[list[oracle.Event]]:
    """Return a strategy for histories of a pipeline: up to five versions of each op, most links along its edges."""
    few = st.integers(0, 4)
    states = st.sampled_from(["valid", "valid", "valid", "invalid", "revoked"])
    own = st.lists(
        st.tuples(st.tuples(*[st.sampled_from(HASHES)] * 3), st.booleans()), max_size=5, unique_by=lambda v: v[0]
    )
    registered = st.tuples(*[own] * len(ops)).map(
        lambda all_: [
            oracle.Registered(op, v, stored) for op, found in zip(ops, all_, strict=True) for v, stored in found
        ]
    )
    steps = [
        st.builds(oracle.LevelSet, st.sampled_from(ops), st.sampled_from(LEVELS)),
        st.builds(YankStep, st.sampled_from(ops), few, st.booleans()),
        st.builds(RemoveStep, st.sampled_from(ops), few),
    ]
    if edges:
        along = st.builds(
            lambda edge, u, d, state: LinkStep(edge[0], u, edge[1], d, state),
            st.sampled_from(list(edges)),
            few,
            st.none() | few,
            states,
        )
        steps += [along] * 9
    return st.builds(
        lambda first, then: history_of([*first, *then]), registered, st.lists(st.one_of(steps), max_size=24)
    )
