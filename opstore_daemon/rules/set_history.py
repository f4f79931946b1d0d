"""How the latest versions of ops changed: a replay of the entries of the journal that can change one.

The latest version of an op is the newest one by sequence that is not yanked: among the stored versions if the op has
any, else among the registered ones (docs/words.md).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Literal, NamedTuple

Kind = Literal["registered", "stored", "yanked", "unyanked"]


class Event(NamedTuple):
    """An entry about a version, which its op and its sequence name. A version may be registered first, stored later."""

    position: int
    op: str
    sequence: int
    kind: Kind


class LatestChange(NamedTuple):
    """An event that changed the latest version of an op: its sequence from this position on, None if there is none."""

    position: int
    op: str
    sequence: int | None


def replay(events: Iterable[Event]) -> Iterator[LatestChange]:
    """Yield the changes of the latest versions; `events` are all events of the ops, in the order of positions."""
    ops: dict[str, _Versions] = {}
    for event in events:
        versions = ops.setdefault(event.op, _Versions())
        before = versions.latest()
        versions.apply(event)
        latest = versions.latest()
        if latest != before:
            yield LatestChange(event.position, event.op, latest)


@dataclass(slots=True)
class _Versions:
    """The versions of one op. All events together take as long as to sort them."""

    stored: set[int] = field(default_factory=set)
    yanked: set[int] = field(default_factory=set)
    # Negated sequences of the versions that can be the latest, and of some that are yanked.
    heap: list[int] = field(default_factory=list)

    def apply(self, event: Event) -> None:
        match event.kind:
            case "registered":
                if not self.stored:
                    heappush(self.heap, -event.sequence)
            case "stored":
                if not self.stored:
                    self.heap.clear()  # versions that are only registered do not count any more
                self.stored.add(event.sequence)
                heappush(self.heap, -event.sequence)
            case "yanked":
                self.yanked.add(event.sequence)
            case "unyanked":
                self.yanked.discard(event.sequence)
                if not self.stored or event.sequence in self.stored:
                    heappush(self.heap, -event.sequence)

    def latest(self) -> int | None:
        while self.heap and -self.heap[0] in self.yanked:
            heappop(self.heap)
        return -self.heap[0] if self.heap else None
