"""The ops that a version affects, compared with the oracle."""

import pytest
from hypothesis import given

from opstore_daemon.protocol.versions import VersionNumber
from opstore_daemon.rules.affected import find_affected
from opstore_daemon.rules.resolution import Edge
from opstore_daemon.rules.verdict import EdgeLinks, Verdict
from tests.daemon.rules import oracle
from tests.daemon.rules.histories import in_force, numbers
from tests.daemon.rules.test_resolution import cases
from tests.support.examples import examples


@pytest.mark.slow
@pytest.mark.oracle
@examples(2000)
@given(cases())
def test_affected_ops_agree_with_the_oracle(case: tuple[oracle.History, list[str], list[Edge]]) -> None:
    history, ops, edges = case
    downstreams = {op: [down for up, down in edges if up == op] for op in ops}
    for op in ops:
        for version, number in numbers(history, op).items():

            def verdict(down: str, op: str = op, number: VersionNumber = number) -> Verdict:
                links = EdgeLinks(op, down, oracle.level(history, op), in_force(history, op, down))
                latest = oracle.latest(history, down)
                return links.verdict(number, None if latest is None else numbers(history, down)[latest])

            found = find_affected(op, downstreams.__getitem__, verdict)
            assert {name for name, _ in found} == oracle.affected(history, op, version, edges)
            assert all(why.word != "valid" and why.reason for _, why in found)


def test_direct_downstream_ops_come_first_then_level_by_level_each_with_its_affected_upstream() -> None:
    downstreams = {"scaler": ["pca", "knn"], "pca": ["forest"], "forest": ["report", "knn"], "knn": ["report"]}
    verdicts = {"pca": Verdict("not-validated", "last validated: another"), "knn": Verdict("link", "it is")}
    found = find_affected("scaler", lambda op: downstreams.get(op, []), verdicts.__getitem__)
    assert [(op, why.word) for op, why in found] == [
        ("pca", "invalid"),
        ("forest", "unknown"),
        ("knn", "unknown"),
        ("report", "unknown"),
    ]
    assert [why.basis for _, why in found] == ["not-validated", *["upstream-affected"] * 3]
    assert found[1][1].reason == "its upstream pca is affected, and its replacement is not validated yet"


def test_edges_of_several_pipelines_may_form_a_cycle() -> None:
    downstreams = {"a": ["b"], "b": ["c", "a"], "c": ["b"]}
    assert [op for op, _ in find_affected("a", downstreams.__getitem__, lambda _: Verdict("no-links", "no link"))] == [
        "b",
        "c",
    ]
