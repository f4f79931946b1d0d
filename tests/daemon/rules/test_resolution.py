"""Resolutions compared with the oracle, and the cost of the search."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opstore_daemon.protocol.versions import VersionNumber
from opstore_daemon.rules.budget import Budget
from opstore_daemon.rules.resolution import Edge, find_conflict, resolve, search_order
from opstore_daemon.rules.verdict import EdgeLinks
from tests.daemon.rules import oracle
from tests.daemon.rules.histories import histories_for, in_force, numbers
from tests.support.examples import examples

OPS = ("a", "b", "c", "d", "e", "f")
Candidate = tuple[str, VersionNumber]


class ByHistory:
    """The candidates after a history, accepted by the rule for verdicts."""

    def __init__(self, history: oracle.History, edges: Sequence[Edge]) -> None:
        self._candidates = {
            op: [(op, numbers(history, op)[version]) for version in reversed(oracle.candidates(history, op))]
            for op in OPS
        }
        self._links = {
            (up, down): EdgeLinks(up, down, oracle.level(history, up), in_force(history, up, down))
            for up, down in edges
        }

    def newest_first(self, op: str) -> list[Candidate]:
        return self._candidates[op]

    def accepted_upstreams(self, edge: Edge, downstream: Candidate) -> Iterator[Candidate]:
        return (each for each in self._candidates[edge[0]] if self.accepts(edge, each, downstream))

    def accepts(self, edge: Edge, upstream: Candidate, downstream: Candidate) -> bool:
        return self._links[edge].is_valid(upstream[1], downstream[1])


def edges_among(ops: Sequence[str]) -> st.SearchStrategy[list[Edge]]:
    """Return a strategy for the edges of acyclic graphs over these ops, all along one permutation of them."""
    along = st.permutations(ops).map(lambda found: [(u, d) for at, u in enumerate(found) for d in found[at + 1 :]])
    return along.flatmap(lambda pairs: st.lists(st.sampled_from(pairs), unique=True, max_size=8))


@st.composite
def cases(draw: st.DrawFn) -> tuple[oracle.History, list[str], list[Edge]]:
    """Draw a history and a pipeline of up to six ops."""
    ops = list(OPS[: draw(st.integers(1, len(OPS)))])
    edges = draw(edges_among(ops)) if len(ops) > 1 else []
    return draw(histories_for(ops, edges)), ops, edges


@pytest.mark.oracle
@examples(2000)
@given(cases())
def test_resolutions_agree_with_the_oracle(case: tuple[oracle.History, list[str], list[Edge]]) -> None:
    history, ops, edges = case
    expected = oracle.resolution(history, ops, edges)
    found = resolve(ops, edges, ByHistory(history, edges), Budget())
    if isinstance(expected, str):
        assert found is None
    else:
        assert found == {op: (op, numbers(history, op)[version]) for op, version in expected.items()}


@pytest.mark.slow
@pytest.mark.oracle
@examples(1000)
@given(cases())
def test_a_conflict_is_a_minimal_set_of_edges_without_a_resolution(
    case: tuple[oracle.History, list[str], list[Edge]],
) -> None:
    history, ops, edges = case
    candidates = ByHistory(history, edges)
    if resolve(ops, edges, candidates, Budget()) is not None:
        return
    found = find_conflict(edges, candidates, Budget())
    if not all(candidates.newest_first(op) for op in ops):
        return
    assert found
    assert not oracle.sets(history, sorted({op for edge in found for op in edge}), found, ["valid"])
    for removed in found:
        rest = [edge for edge in found if edge != removed]
        assert oracle.sets(history, sorted({op for edge in rest for op in edge}), rest, ["valid"])


@pytest.mark.oracle
@examples(300)
@given(st.integers(1, 6).flatmap(lambda count: edges_among(OPS[: max(count, 2)])))
def test_the_search_order_agrees_with_the_oracle(edges: list[Edge]) -> None:
    assert search_order(OPS, edges) == oracle.resolution_order(OPS, edges)


class Counting:
    """`count` candidates of each op; `asked` counts the calls of `accepted_upstreams`."""

    def __init__(self, count: int, valid: dict[Edge, dict[int, list[int]]]) -> None:
        self._count, self._valid, self.asked = count, valid, 0

    def newest_first(self, op: str) -> Iterator[int]:
        return iter(range(self._count, 0, -1))

    def accepted_upstreams(self, edge: Edge, downstream: int) -> Iterator[int]:
        self.asked += 1
        return iter(self._valid[edge].get(downstream, []))

    def accepts(self, edge: Edge, upstream: int, downstream: int) -> bool:
        return upstream in self._valid[edge].get(downstream, [])


@pytest.mark.slow
def test_a_candidate_that_fails_independently_of_other_ops_is_not_retried() -> None:
    ops = [f"op{place:02d}" for place in range(20)]
    chain = list(pairwise(ops))
    every = range(1000, 0, -1)
    # Each downstream version accepts any upstream version, but the last op accepts only one of them, with its fifth.
    valid: dict[Edge, dict[int, list[int]]] = {edge: {down: list(every) for down in every} for edge in chain}
    valid[chain[0]] = {5: [1]}
    candidates = Counting(1000, valid)
    assert resolve(ops, chain, candidates, Budget()) == {ops[0]: 1, ops[1]: 5, **dict.fromkeys(ops[2:], 1000)}
    assert candidates.asked < 20 + 1000


def test_the_search_jumps_back_past_ops_without_a_conflict() -> None:
    ops = ["down", *[f"up{place}" for place in range(8)]]
    edges = [(up, "down") for up in ops[1:]]
    every = range(50, 0, -1)
    valid: dict[Edge, dict[int, list[int]]] = {edge: {down: list(every) for down in every} for edge in edges}
    valid[edges[-1]] = {1: [7]}
    candidates = Counting(50, valid)
    assert resolve(ops, edges, candidates, Budget()) == {"down": 1, **dict.fromkeys(ops[1:-1], 50), ops[-1]: 7}
    assert candidates.asked <= 50 * len(edges)
