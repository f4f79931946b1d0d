"""Pipelines whose resolution is hard to find: graph colouring, with versions as colours."""

import random
from collections.abc import Iterator, Sequence
from itertools import combinations

from opstore_daemon.rules.resolution import Edge

Candidate = tuple[str, int]


def complete(ops: int) -> tuple[list[str], list[Edge]]:
    """Return a pipeline in which each op is upstream of all later ones."""
    names = [f"op{place:02d}" for place in range(ops)]
    return names, list(combinations(names, 2))


def sparse(ops: int, edges: int) -> tuple[list[str], list[Edge]]:
    """Return a random acyclic pipeline, always the same one."""
    names, draw = [f"op{place:02d}" for place in range(ops)], random.Random(0)
    found: set[Edge] = set()
    while len(found) < edges:
        one, other = sorted(draw.sample(names, 2))
        found.add((one, other))
    return names, sorted(found)


class Colours:
    """`count` candidates of each op; an edge accepts two that have different numbers."""

    def __init__(self, ops: Sequence[str], count: int) -> None:
        self._by_op = {op: [(op, number) for number in range(count, 0, -1)] for op in ops}

    def newest_first(self, op: str) -> list[Candidate]:
        return self._by_op[op]

    def accepted_upstreams(self, edge: Edge, downstream: Candidate) -> Iterator[Candidate]:
        return (each for each in self._by_op[edge[0]] if self.accepts(edge, each, downstream))

    def accepts(self, _edge: Edge, upstream: Candidate, downstream: Candidate) -> bool:
        return upstream[1] != downstream[1]
