"""Resolve a pipeline: find the newest versions of its ops that are valid with one another (docs/rules.md).

Candidates of an op are the versions that `latest` could select. The ops are ordered so that each comes after all its
downstream ops, ties by name. Among the sets in which every edge is valid, the resolution is the one whose sequences,
read in that order, are lexicographically greatest.

The search is depth-first: ops in that order, candidates of each op from the newest on, so that the first complete set
is the greatest. At a dead end it returns to the nearest op that caused it and skips those that did not
(conflict-directed backjumping: P. Prosser, "Hybrid algorithms for the constraint satisfaction problem", 1993). It
never retries a candidate that failed independently of all other ops.

The problem is NP-complete (graph colouring is a case of it), so each search counts its steps in a budget.
"""

from collections.abc import Iterable, Iterator, Sequence
from graphlib import TopologicalSorter
from heapq import heapify, heappop, heappush
from typing import Generic, Protocol, TypeVar

from opstore_daemon.rules.budget import Budget, LimitReached

Edge = tuple[str, str]  # the upstream op and the downstream op
C = TypeVar("C")


class Candidates(Protocol[C]):
    """The versions that a resolution can choose from. Each is hashable and equal only to itself."""

    def newest_first(self, op: str) -> Iterable[C]:
        """Return the candidates of the op, newest first."""

    def accepted_upstreams(self, edge: Edge, downstream: C) -> Iterable[C]:
        """Return the candidates of the edge's upstream op that are valid for that downstream version, newest first."""

    def accepts(self, edge: Edge, upstream: C, downstream: C) -> bool:
        """Return whether the edge is valid between these two versions."""


def search_order(ops: Iterable[str], edges: Iterable[Edge]) -> list[str]:
    """Sort the ops so that each comes after all its downstream ops, ties by name."""
    sorter: TopologicalSorter[str] = TopologicalSorter(dict.fromkeys(ops, ()))
    for upstream, downstream in edges:
        sorter.add(upstream, downstream)
    sorter.prepare()
    ready, ordered = list(sorter.get_ready()), []
    heapify(ready)
    while ready:
        op = heappop(ready)
        ordered.append(op)
        sorter.done(op)
        for next_op in sorter.get_ready():
            heappush(ready, next_op)
    return ordered


def resolve(
    ops: Iterable[str], edges: Sequence[Edge], candidates: Candidates[C], budget: Budget
) -> dict[str, C] | None:
    """Return the version of each op in the resolution, in search order; None if there is no resolution.

    Raises what `budget.spend` raises.
    """
    ops = list(ops)
    budget.spend(len(ops) + len(edges))
    return _Search(search_order(ops, edges), edges, candidates, budget).run()


def find_conflict(edges: Sequence[Edge], candidates: Candidates[C], budget: Budget) -> list[Edge]:
    """Return a minimal subset of the edges that has no resolution: without any one of them, the rest has one.

    Call it only if there is no resolution. The list is empty if an op without candidates is the only cause. Raises
    what `budget.spend` raises.
    """
    # Few of many edges matter, so large chunks are removed first, single edges last (A. Zeller and R. Hildebrandt,
    # "Simplifying and Isolating Failure-Inducing Input", 2002).
    conflict, size = list(edges), len(edges)
    while size > 0:
        for start in range(len(conflict) - 1 - (len(conflict) - 1) % size, -1, -size):
            rest = conflict[:start] + conflict[start + size :]
            if resolve({op for edge in rest for op in edge}, rest, candidates, budget) is None:
                conflict = rest
        size //= 2
    return conflict


class _Search(Generic[C]):
    """One depth-first search. The depth of an op is its index in the search order."""

    def __init__(self, ops: Sequence[str], edges: Sequence[Edge], candidates: Candidates[C], budget: Budget) -> None:
        self._ops, self._candidates, self._budget = ops, candidates, budget
        self._depth = {op: depth for depth, op in enumerate(ops)}
        self._downstreams: dict[str, list[str]] = {op: [] for op in ops}
        for upstream, downstream in edges:
            self._downstreams[upstream].append(downstream)
        for downstreams in self._downstreams.values():
            downstreams.sort(key=self._depth.__getitem__)
        self._pins: dict[str, C] = {}
        self._untried: list[Iterator[C]] = []  # by depth
        self._conflicts: list[set[str]] = []  # by depth: the pinned ops that excluded candidates of this op
        self._dead: dict[str, set[C]] = {op: set() for op in ops}  # candidates that fail whatever is pinned

    def run(self) -> dict[str, C] | None:
        """Return the first complete set, or None."""
        try:
            return self._run()
        except LimitReached:
            self._budget.count_conflict(self._ops[len(self._pins) : len(self._pins) + 1])  # it may have had no conflict
            raise

    def _run(self) -> dict[str, C] | None:
        while len(self._pins) < len(self._ops):
            op = self._ops[len(self._pins)]
            if len(self._untried) == len(self._pins):
                self._open(op)
            for candidate in self._untried[-1]:
                self._budget.spend()
                if candidate not in self._dead[op]:
                    self._pins[op] = candidate
                    break
            else:
                if not self._backjump():
                    return None
        return self._pins

    def _open(self, op: str) -> None:
        self._conflicts.append(set())
        self._untried.append(self._accepted(op, self._conflicts[-1]))

    def _accepted(self, op: str, conflicts: set[str]) -> Iterator[C]:
        """Yield the candidates that all pinned downstream ops accept; add to `conflicts` the first that refuses."""
        downstreams = self._downstreams[op]
        if not downstreams:
            yield from self._candidates.newest_first(op)
            return
        first, *others = downstreams
        conflicts.add(first)
        for candidate in self._candidates.accepted_upstreams((op, first), self._pins[first]):
            for other in others:
                self._budget.spend()
                if not self._candidates.accepts((op, other), candidate, self._pins[other]):
                    conflicts.add(other)
                    break
            else:
                yield candidate

    def _backjump(self) -> bool:
        """Return to the deepest op in conflict and unpin it and all after it; False if no op is in conflict."""
        conflicts = self._conflicts[-1]
        self._budget.count_conflict((self._ops[len(self._pins)], *conflicts))
        if not conflicts:
            return False
        culprit = max(conflicts, key=self._depth.__getitem__)
        depth, other_conflicts = self._depth[culprit], conflicts - {culprit}
        if not other_conflicts:
            self._dead[culprit].add(self._pins[culprit])
        self._budget.spend(len(conflicts))
        for op in self._ops[depth : len(self._pins)]:
            del self._pins[op]
        del self._untried[depth + 1 :], self._conflicts[depth + 1 :]
        self._conflicts[depth] |= other_conflicts
        return True
