"""The replay of entries finds the changes of the latest versions, as a slow reading of the contract does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opstore_daemon.rules.set_history import Event, Kind, LatestChange, replay
from tests.support.examples import examples

Step = tuple[str, int, int]


def slow_latest(events: list[Event], op: str) -> int | None:
    """Return the newest version by sequence that is neither yanked nor removed: of the stored ones if any, else of all.

    A removed version is neither stored nor registered.
    """
    own = [event for event in events if event.op == op]
    removed = {event.sequence for event in own if event.kind == "removed"}
    stored = {event.sequence for event in own if event.kind == "stored"} - removed
    among = stored or {event.sequence for event in own} - removed
    yanks = {event.sequence: event.kind for event in own if event.kind in ("yanked", "unyanked")}
    return max((sequence for sequence in among if yanks.get(sequence) != "yanked"), default=None)


def to_events(steps: list[Step]) -> list[Event]:
    """Return possible events: a step registers, stores, yanks, unyanks or removes a version that there is."""
    events: list[Event] = []
    versions: dict[str, dict[int, set[str]]] = {"a": {}, "b": {}}
    for op, pick, choice in steps:
        known = versions[op]
        sequence = pick % (len(known) + 1) + 1
        states = known.setdefault(sequence, set())
        kind: Kind
        if "removed" in states:
            continue
        if not states:
            kind = "stored" if choice else "registered"
        elif choice == 1:
            kind = "unyanked" if "yanked" in states else "yanked"
        elif choice == 2:
            kind = "removed"
        elif "stored" not in states:
            kind = "stored"
        else:
            continue
        if kind == "unyanked":
            states.discard("yanked")
        states.add(kind)
        events.append(Event(len(events) * 2 + 1, op, sequence, kind))
    return events


@pytest.mark.oracle
@examples(300)
@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 5), st.integers(0, 2)), max_size=30).map(to_events))
def test_the_replay_finds_what_a_slow_reading_finds(events: list[Event]) -> None:
    found = {change.position: change for change in replay(events)}
    for count, event in enumerate(events, 1):
        before, now = slow_latest(events[: count - 1], event.op), slow_latest(events[:count], event.op)
        expected = LatestChange(event.position, event.op, now) if before != now else None
        assert found.get(event.position) == expected


@pytest.mark.slow
def test_a_yank_of_each_version_in_turn_takes_few_steps() -> None:
    stored = [Event(n, "a", n, "stored") for n in range(1, 20_001)]
    yanked = [Event(20_000 + n, "a", 20_001 - n, "yanked") for n in range(1, 20_001)]
    changes = list(replay([*stored, *yanked]))
    assert (len(changes), changes[-1].sequence) == (40_000, None)


def test_removing_the_only_stored_version_again_and_again_takes_few_steps() -> None:
    registered = [Event(n, "a", n, "registered") for n in range(1, 20_001)]
    kinds: tuple[Kind, ...] = ("stored", "removed")
    pairs = [
        Event(20_000 + 2 * n + place, "a", 20_000 + n, kind)
        for n in range(1, 20_001)
        for place, kind in enumerate(kinds)
    ]
    changes = list(replay([*registered, *pairs]))
    assert (len(changes), changes[-1].sequence) == (60_000, 20_000)
