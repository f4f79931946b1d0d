"""Which set of versions a pipeline is to run: the newest that are valid with one another (CONTRACT section 4).

Candidates of an op are what `latest` could pick. The ops are ordered so that each comes after all its downstreams, ties
by name. Among the sets in which every edge is valid, the resolution is the one whose sequences, read in that order, are
lexicographically greatest.

The search goes through the ops in that order and through the candidates of each from the newest on, so that the first
set it meets is the greatest. Where an op has no candidate left it goes back to the nearest op that is to blame for it,
past those that are not (conflict-directed backjumping; P. Prosser, "Hybrid algorithms for the constraint satisfaction
problem", 1993), and a candidate that failed whatever the other ops had is not tried again.
"""

from collections.abc import Iterable, Iterator, Sequence
from graphlib import TopologicalSorter
from heapq import heapify, heappop, heappush
from typing import Generic, Protocol, TypeVar

Edge = tuple[str, str]  # the upstream op and the downstream op
C = TypeVar("C")


class Candidates(Protocol[C]):
    """What there is to choose from. A candidate equals itself only, and is hashable."""

    def newest_first(self, op: str) -> Iterable[C]:
        """The op's candidates, newest first."""

    def accepted_upstreams(self, edge: Edge, downstream: C) -> Iterable[C]:
        """The candidates of the edge's upstream op that are valid for that downstream version, newest first."""

    def accepts(self, edge: Edge, upstream: C, downstream: C) -> bool:
        """Whether the edge is valid between these two."""


def order(ops: Iterable[str], edges: Iterable[Edge]) -> list[str]:
    """The ops, each after all its downstreams; of those that could come next, the first by name."""
    sorter: TopologicalSorter[str] = TopologicalSorter(dict.fromkeys(ops, ()))
    for upstream, downstream in edges:
        sorter.add(upstream, downstream)
    sorter.prepare()
    ready, found = list(sorter.get_ready()), []
    heapify(ready)
    while ready:
        op = heappop(ready)
        found.append(op)
        sorter.done(op)
        for freed in sorter.get_ready():
            heappush(ready, freed)
    return found


def resolve(ops: Iterable[str], edges: Sequence[Edge], candidates: Candidates[C]) -> dict[str, C] | None:
    """The resolution: each op's version, in the order of the rule; None where there is no such set."""
    return _Search(order(ops, edges), edges, candidates).run()


def conflict(edges: Sequence[Edge], candidates: Candidates[C]) -> list[Edge]:
    """Where there is no resolution: a smallest part of the edges that has none, of which none can be left out.

    Empty where that is no edge's fault: an op has no candidate.
    """
    # What can be left out goes in large pieces first: of many edges, few are to blame (A. Zeller and R. Hildebrandt,
    # "Simplifying and Isolating Failure-Inducing Input", 2002). The last round leaves out single ones.
    kept, size = list(edges), len(edges)
    while size > 0:
        for start in range(len(kept) - 1 - (len(kept) - 1) % size, -1, -size):
            rest = kept[:start] + kept[start + size :]
            if resolve({op for pair in rest for op in pair}, rest, candidates) is None:
                kept = rest
        size //= 2
    return kept


class _Search(Generic[C]):
    """One search. An op's place is its index in the order."""

    def __init__(self, ops: Sequence[str], edges: Sequence[Edge], candidates: Candidates[C]) -> None:
        self._ops, self._candidates = ops, candidates
        self._place = {op: place for place, op in enumerate(ops)}
        self._downstreams: dict[str, list[str]] = {op: [] for op in ops}
        for upstream, downstream in edges:
            self._downstreams[upstream].append(downstream)
        for downstreams in self._downstreams.values():
            downstreams.sort(key=self._place.__getitem__)
        self._pins: dict[str, C] = {}
        self._left: list[Iterator[C]] = []  # the candidates that are still to be tried, by place
        self._blamed: list[set[str]] = []  # the earlier ops for whose sake the others failed, by place
        self._dead: dict[str, set[C]] = {op: set() for op in ops}

    def run(self) -> dict[str, C] | None:
        while len(self._pins) < len(self._ops):
            if len(self._left) == len(self._pins):
                self._open(self._ops[len(self._pins)])
            op = self._ops[len(self._pins)]
            for candidate in self._left[-1]:
                if candidate not in self._dead[op]:
                    self._pins[op] = candidate
                    break
            else:
                if not self._go_back():
                    return None
        return self._pins

    def _open(self, op: str) -> None:
        self._blamed.append(set())
        self._left.append(self._fitting(op, self._blamed[-1]))

    def _fitting(self, op: str, blamed: set[str]) -> Iterator[C]:
        """The op's candidates that all pinned downstreams accept; the others are blamed on the first that does not."""
        downstreams = self._downstreams[op]
        if not downstreams:
            yield from self._candidates.newest_first(op)
            return
        first, *others = downstreams
        blamed.add(first)
        for candidate in self._candidates.accepted_upstreams((op, first), self._pins[first]):
            for other in others:
                if not self._candidates.accepts((op, other), candidate, self._pins[other]):
                    blamed.add(other)
                    break
            else:
                yield candidate

    def _go_back(self) -> bool:
        """Back to the nearest op that is to blame, and on to its next candidate; False where there is none."""
        blamed = self._blamed[-1]
        if not blamed:
            return False
        culprit = max(blamed, key=self._place.__getitem__)
        place, rest = self._place[culprit], blamed - {culprit}
        if not rest:
            self._dead[culprit].add(self._pins[culprit])
        for op in self._ops[place:]:
            self._pins.pop(op, None)
        del self._left[place + 1 :], self._blamed[place + 1 :]
        self._blamed[place] |= rest
        return True
