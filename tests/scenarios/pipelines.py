"""Pipelines and the verdicts over all their edges (docs/rules.md)."""

from itertools import pairwise

import pytest

from opstore_daemon.protocol import errors
from tests.scenarios.scene import Scenario, Scene

SCENARIOS: list[Scenario] = []


@SCENARIOS.append
def ops_alone_are_a_chain_and_unknown_ones_are_created(scene: Scene) -> None:
    registered = scene.store.register_pipeline("train", ["scaler", "pca", "forest"])
    assert registered.created
    assert registered.ops == ("scaler", "pca", "forest")
    assert registered.edges == (("pca", "forest"), ("scaler", "pca"))
    assert [(op.name, op.latest) for op in scene.store.ops()] == [("forest", None), ("pca", None), ("scaler", None)]
    shown = scene.store.pipeline("train")
    assert (shown.ops, shown.edges, shown.registered_at) == (
        registered.ops,
        registered.edges,
        registered.registered_at,
    )


@SCENARIOS.append
def edges_make_any_acyclic_graph_in_the_order_of_data_flow(scene: Scene) -> None:
    edges = [("b", "d"), ("a", "c"), ("a", "b"), ("c", "d"), ("a", "b")]
    registered = scene.store.register_pipeline("diamond", edges=edges)
    assert registered.ops == ("a", "b", "c", "d")
    assert registered.edges == (("a", "b"), ("a", "c"), ("b", "d"), ("c", "d"))
    alone = scene.store.register_pipeline("with_one_alone", ["z"], [("a", "b")])
    assert set(alone.ops) == {"a", "b", "z"}
    assert alone.edges == (("a", "b"),)
    assert scene.store.register_pipeline("one", ["a"]).edges == ()


@SCENARIOS.append
def a_graph_with_a_cycle_is_refused_and_leaves_nothing(scene: Scene) -> None:
    before = scene.has()
    attempts: list[tuple[list[str], list[tuple[str, str]] | None]] = [
        ([], None),
        ([], []),
        (["a", "b", "a"], None),
        (["a", "a"], None),
        ([], [("a", "a")]),
        ([], [("a", "b"), ("b", "a")]),
        (["x"], [("a", "b"), ("b", "c"), ("c", "a")]),
    ]
    for ops, edges in attempts:
        with pytest.raises(errors.InvalidGraph):
            scene.store.register_pipeline("p", ops, edges)
    with pytest.raises(errors.InvalidName):
        scene.store.register_pipeline("p", ["Forest"])
    with pytest.raises(errors.InvalidName):
        scene.store.register_pipeline("p", [], [("a", "Forest")])
    with pytest.raises(errors.InvalidName):
        scene.store.register_pipeline("My Pipeline", ["a"])
    assert scene.has() == before


@SCENARIOS.append
def a_cycle_is_named_in_the_order_of_its_edges(scene: Scene) -> None:
    with pytest.raises(errors.InvalidGraph) as refused:
        scene.store.register_pipeline("p", [], [("a", "b"), ("b", "c"), ("c", "a")])
    names = refused.value.text.rpartition(": ")[2].split(" -> ")
    assert names[0] == names[-1]
    assert "".join(names) in ("abca", "bcab", "cabc")


@SCENARIOS.append
def registering_the_same_graph_again_changes_nothing_and_another_graph_is_a_conflict(scene: Scene) -> None:
    first = scene.store.register_pipeline("p", ["a", "b", "c"])
    rows = scene.rows()
    again = scene.store.register_pipeline("p", [], [("b", "c"), ("a", "b")])
    assert (again.created, again.ops, again.registered_at) == (False, first.ops, first.registered_at)
    for ops, edges in ((["a", "b"], None), (["c", "b", "a"], None), (["d"], [("a", "b"), ("b", "c")])):
        with pytest.raises(errors.PipelineConflict):
            scene.store.register_pipeline("p", ops, edges)
    assert scene.rows() == rows


@SCENARIOS.append
def a_removed_pipeline_leaves_its_ops_versions_and_links(scene: Scene) -> None:
    scene.push("a", "aaa", valid_for=("b@any",))
    scene.store.register_pipeline("p", ["a", "b"])
    scene.store.remove_pipeline("p")
    assert scene.store.pipelines() == []
    assert [op.name for op in scene.store.ops()] == ["a", "b"]
    assert len(scene.store.links()) == 1
    for ask in (scene.store.pipeline, scene.store.remove_pipeline, scene.store.validate_pipeline):
        with pytest.raises(errors.PipelineNotFound):
            ask("p")
    assert scene.store.register_pipeline("p", ["b", "a"]).created


@SCENARIOS.append
def pipelines_are_listed_by_name(scene: Scene) -> None:
    for name in ("zeta", "alpha", "mid"):
        scene.store.register_pipeline(name, ["a", "b"])
    assert [pipeline.name for pipeline in scene.store.pipelines()] == ["alpha", "mid", "zeta"]


def diamond(scene: Scene) -> None:
    """`a` feeds `b` and `c`, and both feed `d`; every edge is valid."""
    for op in "dcba":
        scene.push(op, "aaa")
    scene.store.register_pipeline("p", [], [("a", "b"), ("a", "c"), ("b", "d"), ("c", "d")])
    for up, down in ("ab", "ac", "bd", "cd"):
        scene.store.link(up, down)


@SCENARIOS.append
def a_pipeline_is_valid_where_every_edge_is(scene: Scene) -> None:
    diamond(scene)
    validation = scene.store.validate_pipeline("p")
    assert (validation.verdict, validation.pipeline) == ("valid", "p")
    edges = [(edge.upstream.op, edge.downstream.op, edge.verdict) for edge in validation.edges]
    assert edges == [("a", "b", "valid"), ("a", "c", "valid"), ("b", "d", "valid"), ("c", "d", "valid")]
    assert [(version.op, version.version) for version in validation.versions] == [
        ("a", "1.0.0"),
        ("b", "1.0.0"),
        ("c", "1.0.0"),
        ("d", "1.0.0"),
    ]
    assert scene.store.register_pipeline("alone", ["a"]).created
    assert scene.store.validate_pipeline("alone").verdict == "valid"


@SCENARIOS.append
def the_edges_of_a_verdict_are_in_the_order_of_the_data(scene: Scene) -> None:
    ops = ["zeta", "mid", "alpha", "beta"]
    scene.store.register_pipeline("p", ops)
    found = scene.store.validate_pipeline("p")
    assert [(edge.upstream.op, edge.downstream.op) for edge in found.edges] == list(pairwise(ops))


@SCENARIOS.append
def an_edge_that_is_unknown_makes_a_pipeline_unknown(scene: Scene) -> None:
    diamond(scene)
    scene.store.unlink("b", "d")
    assert scene.store.validate_pipeline("p").verdict == "unknown"


@SCENARIOS.append
def an_edge_that_is_known_to_be_invalid_beats_one_that_is_unknown(scene: Scene) -> None:
    diamond(scene)
    scene.store.unlink("b", "d")
    scene.store.link("a", "c", valid=False)
    validation = scene.store.validate_pipeline("p")
    assert validation.verdict == "invalid"
    assert [edge.verdict for edge in validation.edges] == ["valid", "invalid", "unknown", "valid"]


@SCENARIOS.append
def use_counts_a_version_as_the_latest(scene: Scene) -> None:
    diamond(scene)
    scene.push("a", "baa")
    assert scene.store.validate_pipeline("p").verdict == "invalid"
    validation = scene.store.validate_pipeline("p", use=["a@1.0.0"])
    assert validation.verdict == "valid"
    assert [version.version for version in validation.versions] == ["1.0.0"] * 4
    scene.store.register("a", subversions="eeee.aaaa.aaaa")
    assert scene.store.validate_pipeline("p", use=["a@3.0.0", "b@1.0.0"]).verdict == "invalid"
    with pytest.raises(errors.InvalidRequest, match="the pipeline p has no op"):
        scene.store.validate_pipeline("p", use=["stranger"])
    with pytest.raises(errors.VersionNotFound):
        scene.store.validate_pipeline("p", use=["a@9"])


@SCENARIOS.append
def ops_without_versions_leave_a_pipeline_unknown(scene: Scene) -> None:
    scene.store.register_pipeline("p", ["a", "b"])
    validation = scene.store.validate_pipeline("p")
    assert (validation.verdict, validation.edges[0].reason) == ("unknown", "a has no version")
    assert [(version.op, version.version) for version in validation.versions] == [("a", None), ("b", None)]
