"""The steps of a search: hard pipelines end, equal ones end alike, and the checkpoint can end any of them."""

from itertools import pairwise

import pytest

from opstore_daemon.rules.budget import CHECKPOINT_STEPS, NAMED_OPS, STEPS, Budget, LimitReached
from opstore_daemon.rules.resolution import Edge, find_conflict, resolve
from tests.daemon.rules.hard_graphs import Colours, complete, sparse
from tests.support.figures import few

HARD: dict[str, tuple[tuple[list[str], list[Edge]], int]] = {
    "a complete graph of 15 ops with 8 versions each": (complete(15), 8),
    "60 ops with 3 versions each": (sparse(60, 138), 3),
    "1,000 ops, of which the last 12 can't be resolved": (
        (complete(12)[0] + [f"z{n}" for n in range(988)], complete(12)[1]),
        8,
    ),
}


class Stopped(Exception):
    """The checkpoint ended the search."""


@pytest.mark.parametrize("graph", few(1, HARD))
def test_the_search_of_a_hard_pipeline_ends_with_its_budget(graph: str) -> None:
    (ops, edges), count = HARD[graph]
    ends = []
    for _ in range(2):
        budget = Budget(STEPS // 10)
        with pytest.raises(LimitReached, match=f"^{STEPS // 10:,} steps$"):
            resolve(ops, edges, Colours(ops, count), budget)
        assert STEPS // 10 < budget.spent <= STEPS // 10 + len(ops) + len(edges)
        ends.append((budget.spent, budget.most_conflicting()))
    assert ends[0] == ends[1], "the same pipeline ends at the same step"
    assert len(ends[0][1]) == NAMED_OPS
    assert {op for edge in edges for op in edge} >= set(ends[0][1]), "an op without an edge conflicts with none"


def test_a_result_does_not_depend_on_the_steps_that_are_left() -> None:
    ops, edges = complete(6)
    needed = Budget()
    found = resolve(ops, edges, Colours(ops, 6), needed)
    assert found == resolve(ops, edges, Colours(ops, 6), Budget(needed.spent))
    with pytest.raises(LimitReached):
        resolve(ops, edges, Colours(ops, 6), Budget(needed.spent - 1))


def test_all_searches_of_a_conflict_share_one_budget() -> None:
    ops, edges = complete(6)
    budget = Budget()
    assert resolve(ops, edges, Colours(ops, 5), budget) is None
    search = budget.spent
    assert sorted(find_conflict(edges, Colours(ops, 5), budget)) == edges
    assert budget.spent >= search + 10 * len(edges), "it takes many searches"
    with pytest.raises(LimitReached):
        find_conflict(edges, Colours(ops, 5), Budget(budget.spent - search - 1))


class Quarrel:
    """A candidate of each op; `z` has one for each of the others, which it alone refuses."""

    def __init__(self, ops: int) -> None:
        self.downs = [f"op{place:03d}" for place in range(ops)]

    def newest_first(self, op: str) -> list[str]:
        return self.downs if op == "z" else ["1"]

    def accepted_upstreams(self, edge: Edge, downstream: str) -> list[str]:
        return [each for each in self.downs if self.accepts(edge, each, downstream)]

    def accepts(self, edge: Edge, upstream: str, _downstream: str) -> bool:
        return upstream != edge[1]


def test_a_dead_end_costs_a_step_for_each_op_in_conflict() -> None:
    """The search returns over 200 ops, one at a time, with up to 200 ops in conflict at each."""
    quarrel, budget = Quarrel(200), Budget()
    assert resolve([*quarrel.downs, "z"], [("z", down) for down in quarrel.downs], quarrel, budget) is None
    pairs = 200 * 200 // 2
    assert 2 * pairs < budget.spent < 2 * pairs + 3000, "the pairs that are compared, and as many for the conflicts"


def test_setting_up_a_search_costs_a_step_for_each_op_and_edge() -> None:
    names = [f"op{place}" for place in range(1000)]
    budget = Budget()
    assert resolve(names, list(pairwise(names)), Colours(names, 0), budget) is None
    assert 1999 <= budget.spent < 2010


def test_the_checkpoint_can_end_a_search_within_a_bounded_number_of_steps() -> None:
    calls = []

    def checkpoint() -> None:
        calls.append(budget.spent)
        if len(calls) == 3:
            raise Stopped

    budget = Budget(STEPS, checkpoint)
    ops, edges = complete(15)
    with pytest.raises(Stopped):
        resolve(ops, edges, Colours(ops, 8), budget)
    most = CHECKPOINT_STEPS + len(ops) + len(edges)
    assert all(later - earlier <= most for earlier, later in pairwise([0, *calls]))


def test_a_short_search_has_no_checkpoint() -> None:
    def checkpoint() -> None:
        raise Stopped

    ops, edges = complete(8)
    assert resolve(ops, edges, Colours(ops, 8), Budget(STEPS, checkpoint)) is not None


def test_ops_with_as_many_conflicts_are_named_in_the_order_of_their_names() -> None:
    budget = Budget()
    for ops in (["c", "b"], ["b", "a"], ["a"], ["d"]):
        budget.count_conflict(ops)
    assert budget.most_conflicting() == ["a", "b", "c", "d"]
