"""How the latest versions of ops changed: a replay of the entries of the journal that can change one.

The latest version of an op is the newest one by sequence that is neither yanked nor removed: among the stored versions
if the op has any, else among the registered ones (docs/words.md).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Literal, NamedTuple

Kind = Literal["registered", "stored", "yanked", "unyanked", "removed"]


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
    removed: set[int] = field(default_factory=set)
    # Negated sequences of the versions that can be the latest, and of some that are yanked or removed.
    stored_heap: list[int] = field(default_factory=list)
    registered_heap: list[int] = field(default_factory=list)  # these count while no version is stored

    def apply(self, event: Event) -> None:
        match event.kind:
            case "registered":
                heappush(self.registered_heap, -event.sequence)
            case "stored":
                self.stored.add(event.sequence)
                heappush(self.stored_heap, -event.sequence)
            case "yanked":
                self.yanked.add(event.sequence)
            case "unyanked":
                self.yanked.discard(event.sequence)
                heap = self.stored_heap if event.sequence in self.stored else self.registered_heap
                heappush(heap, -event.sequence)
            case "removed":
                self.removed.add(event.sequence)
                self.stored.discard(event.sequence)

    def latest(self) -> int | None:
        heap = self.stored_heap if self.stored else self.registered_heap
        while heap and (-heap[0] in self.yanked or -heap[0] in self.removed):
            heappop(heap)
        return -heap[0] if heap else None
