"""Links (CONTRACT section 4)."""

from typing import Any

import pytest

from opstore_daemon.protocol import errors
from tests.scenarios.scene import Scenario, Scene

SCENARIOS: list[Scenario] = []


def in_force(scene: Scene, op: str | None = None) -> list[tuple[str, str, str, str | None, bool]]:
    """Return the links in force as rows."""
    return [
        (link.upstream, link.upstream_version, link.downstream, link.downstream_version, link.valid)
        for link in scene.store.links(op)
    ]


@SCENARIOS.append
def a_bare_downstream_means_the_op_and_creates_it(scene: Scene) -> None:
    scene.push("pca", "aaa")
    link = scene.store.link("pca@1.0.0", "forest")
    assert (link.upstream, link.upstream_version) == ("pca", "1.0.0")
    assert (link.downstream, link.downstream_version) == ("forest", None)
    assert (link.valid, link.evidence) == (True, None)
    assert [op.name for op in scene.store.ops()] == ["forest", "pca"]
    assert scene.store.links() == [link]


@SCENARIOS.append
def a_downstream_with_a_selector_means_that_version(scene: Scene) -> None:
    scene.push("pca", "aaa")
    scene.numbered("forest")
    assert scene.store.link("pca", "forest@1").downstream_version == "1.0.2"
    assert scene.store.link("pca", "forest@latest").downstream_version == "1.0.2"
    assert scene.store.link("pca", "forest@1.1.0").downstream_version == "1.1.0"
    assert in_force(scene) == [
        ("pca", "1.0.0", "forest", "1.1.0", True),
        ("pca", "1.0.0", "forest", "1.0.2", True),
    ]


@SCENARIOS.append
def a_bare_upstream_means_its_latest_version(scene: Scene) -> None:
    scene.numbered("pca")
    assert scene.store.link("pca", "forest").upstream_version == "1.0.2"


@SCENARIOS.append
def links_of_an_op_are_listed_newest_first_on_either_side(scene: Scene) -> None:
    for op in ("a", "b", "c"):
        scene.push(op, "aaa")
    scene.store.link("a", "b")
    scene.store.link("b", "c")
    scene.store.link("a", "c")
    everything = in_force(scene)
    assert [(row[0], row[2]) for row in everything] == [("a", "c"), ("b", "c"), ("a", "b")]
    positions = [link.position for link in scene.store.links()]
    assert positions == sorted(positions, reverse=True)
    assert [(row[0], row[2]) for row in in_force(scene, "b")] == [("b", "c"), ("a", "b")]
    with pytest.raises(errors.OpNotFound):
        scene.store.links("nobody")


@SCENARIOS.append
def recording_the_same_link_again_changes_nothing(scene: Scene) -> None:
    scene.push("pca", "aaa")
    first = scene.store.link("pca", "forest", evidence="report 7")
    rows = scene.rows()
    assert scene.store.link("pca", "forest", evidence="report 7") == first
    assert scene.rows() == rows


@SCENARIOS.append
def a_link_with_other_evidence_replaces_the_link_in_force(scene: Scene) -> None:
    scene.push("pca", "aaa")
    first = scene.store.link("pca", "forest", evidence="report 7")
    second = scene.store.link("pca", "forest", evidence="report 8")
    assert (first.evidence, second.evidence) == ("report 7", "report 8")
    assert second.position > first.position
    assert scene.store.links() == [second]
    assert scene.rows()["link"] == 2


@SCENARIOS.append
def the_newest_entry_for_the_same_versions_is_in_force(scene: Scene) -> None:
    scene.push("pca", "aaa")
    scene.push("forest", "aaa")
    scene.store.link("pca", "forest")
    scene.store.link("pca", "forest@1.0.0")
    assert scene.store.link("pca", "forest", valid=False).valid is False
    assert in_force(scene) == [
        ("pca", "1.0.0", "forest", None, False),
        ("pca", "1.0.0", "forest", "1.0.0", True),
    ]
    scene.store.link("pca", "forest")
    assert in_force(scene)[0] == ("pca", "1.0.0", "forest", None, True)
    assert scene.rows()["link"] == 4


@SCENARIOS.append
def unlink_revokes_only_the_link_between_these_versions(scene: Scene) -> None:
    scene.push("pca", "aaa")
    scene.push("forest", "aaa")
    bare = scene.store.link("pca", "forest")
    exact = scene.store.link("pca", "forest@1.0.0", evidence="report")
    assert scene.store.unlink("pca", "forest@1.0.0") == exact
    assert scene.store.links() == [bare]
    with pytest.raises(errors.LinkNotFound):
        scene.store.unlink("pca", "forest@1.0.0")
    assert scene.store.unlink("pca", "forest") == bare
    assert scene.store.links() == []
    assert scene.store.link("pca", "forest").position > exact.position


@SCENARIOS.append
def a_link_that_is_known_to_be_invalid_can_be_revoked_too(scene: Scene) -> None:
    scene.push("pca", "aaa")
    scene.store.link("pca", "forest", valid=False)
    assert scene.store.unlink("pca", "forest").valid is False
    assert scene.store.links() == []


@SCENARIOS.append
def a_link_or_unlink_that_finds_nothing_changes_nothing(scene: Scene) -> None:
    scene.push("pca", "aaa")
    before = scene.has()
    attempts: list[tuple[str, str, type[errors.OpStoreError]]] = [
        ("nobody", "forest", errors.OpNotFound),
        ("pca@9", "forest", errors.VersionNotFound),
        ("pca@prod", "forest", errors.TagNotFound),
        ("pca", "forest@1.0.0", errors.OpNotFound),
        ("pca", "Forest", errors.InvalidName),
        ("pca@", "forest", errors.InvalidReference),
    ]
    for upstream, downstream, error in attempts:
        with pytest.raises(errors.OpStoreError) as refused:
            scene.store.link(upstream, downstream)
        assert type(refused.value) is error, (upstream, downstream)
    with pytest.raises(errors.LinkNotFound):
        scene.store.unlink("pca", "forest")
    assert scene.has() == before


@SCENARIOS.append
def no_op_is_its_own_upstream(scene: Scene) -> None:
    scene.push("pca", "aaa")
    scene.push("pca", "aab")
    before = scene.has()
    for downstream in ("pca", "pca@1.0.0", "pca@1.0.1"):
        with pytest.raises(errors.InvalidRequest, match="its own upstream"):
            scene.store.link("pca@1.0.0", downstream)
        with pytest.raises(errors.InvalidRequest, match="its own upstream"):
            scene.store.push("pca", b"new", valid_for=[downstream])
        with pytest.raises(errors.InvalidRequest, match="its own upstream"):
            scene.store.register("pca", fields={}, valid_with=[downstream])
        with pytest.raises(errors.InvalidRequest, match="its own upstream"):
            scene.store.validate("pca", downstream)
    assert scene.has() == before


@SCENARIOS.append
def links_are_listed_by_upstream_and_by_downstream(scene: Scene) -> None:
    for op in ("a", "b"):
        scene.numbered(op)
    made = [
        scene.store.link(upstream, downstream)
        for upstream, downstream in (("a@1.0.0", "b"), ("a@2.0.0", "b@1.0.0"), ("a", "c"), ("b", "c"), ("a@1.1.0", "b"))
    ]
    made.reverse()
    between = [link for link in made if (link.upstream, link.downstream) == ("a", "b")]
    assert scene.store.links(upstream="a") == [link for link in made if link.upstream == "a"]
    assert scene.store.links(downstream="c") == [link for link in made if link.downstream == "c"]
    assert scene.store.links(upstream="a", downstream="b") == between
    assert scene.store.links("b", upstream="a") == between
    assert scene.store.links("c", upstream="a", downstream="b") == []
    assert scene.store.links(upstream="b", downstream="a") == []
    assert scene.store.links(upstream="a", downstream="b", limit=2) == between[:2]
    attempts: list[dict[str, Any]] = [{"upstream": "nobody"}, {"downstream": "nobody"}, {"op": "nobody"}]
    for asked in (*attempts, {"history": True, "upstream": "nobody"}):
        with pytest.raises(errors.OpNotFound):
            scene.store.links(**asked)
    with pytest.raises(errors.InvalidName):
        scene.store.links(upstream="A")
    with pytest.raises(errors.InvalidRequest):
        scene.store.links(limit=0)


@SCENARIOS.append
def the_history_has_every_entry(scene: Scene) -> None:
    scene.push("pca", "aaa")
    first = scene.store.link("pca", "forest")
    scene.store.link("pca", "boost")
    second = scene.store.link("pca", "forest", valid=False, evidence="report 8")
    assert (first.state, first.until, second.state, second.until) == ("valid", None, "invalid", None)
    scene.store.unlink("pca", "forest")
    entries = scene.store.links(upstream="pca", downstream="forest", history=True)
    assert [(entry.state, entry.valid, entry.evidence) for entry in entries] == [
        ("revoked", False, None),
        ("invalid", False, "report 8"),
        ("valid", True, None),
    ]
    revoked = entries[0].position
    assert [(entry.position, entry.until) for entry in entries] == [
        (revoked, None),
        (second.position, revoked),
        (first.position, second.position),
    ]
    assert scene.store.links(upstream="pca", downstream="forest") == []
    assert len(scene.store.links(history=True)) == 4
    assert scene.store.links(history=True, limit=1) == entries[:1]
    assert [entry.downstream for entry in scene.store.links()] == ["boost"]
