"""Links (docs/rules.md)."""

from typing import Any

import pytest

from opstore_daemon.protocol import errors
from tests.scenarios.scene import Scenario, Scene, spelt

SCENARIOS: list[Scenario] = []


def in_force(scene: Scene, op: str | None = None) -> list[tuple[str, str, str, str | None, bool]]:
    """Return the links in force as rows."""
    return [
        (link.upstream, link.upstream_version, link.downstream, link.downstream_version, link.valid)
        for link in scene.store.links(op)
    ]


@SCENARIOS.append
def any_means_any_version_of_the_downstream_op(scene: Scene) -> None:
    scene.create("forest")
    scene.push("pca", "aaa")
    link = scene.store.link("pca@1.0.0", "forest@any")
    assert (link.upstream, link.upstream_version) == ("pca", "1.0.0")
    assert (link.downstream, link.downstream_version) == ("forest", None)
    assert (link.valid, link.evidence) == (True, None)
    assert [op.name for op in scene.store.ops()] == ["forest", "pca"]
    assert scene.store.links() == [link]


@SCENARIOS.append
def a_bare_name_means_the_latest_version_on_both_sides_of_a_link(scene: Scene) -> None:
    scene.numbered("pca")
    scene.numbered("forest")
    scene.store.tag("forest@1.1.0", "prod")
    link = scene.store.link("pca", "forest")
    assert (link.upstream_version, link.downstream_version) == ("1.0.2", "1.0.2")
    scene.push("forest", "caa")
    assert scene.store.validate("pca", "forest@1.0.2").verdict == "valid"
    assert scene.store.validate("pca", "forest").edges[0].basis == "not-validated"


@SCENARIOS.append
def only_a_push_a_registration_and_a_pipeline_create_ops(scene: Scene) -> None:
    scene.push("pca", "aaa")
    for downstream in ("florest", "florest@any"):
        with pytest.raises(errors.OpNotFound):
            scene.store.link("pca", downstream)
        with pytest.raises(errors.OpNotFound):
            scene.store.push("pca", b"two", valid_for=[downstream])
        with pytest.raises(errors.OpNotFound):
            scene.store.register("scaler", fields={}, valid_for=[downstream])
    assert [op.name for op in scene.store.ops()] == ["pca"]
    made = scene.store.register_pipeline("churn", ["pca", "forest", "boost"])
    assert made.created_ops == ("forest", "boost")
    assert scene.store.register_pipeline("churn", ["pca", "forest", "boost"]).created_ops == ()
    assert scene.store.op("forest").compat == "exact"
    scene.store.push("pca", b"three", valid_for=["knn@any"], new_ops="minor")
    assert (scene.store.op("knn").compat, scene.store.op("pca").compat) == ("minor", "major")


@SCENARIOS.append
def any_is_for_the_downstream_op_of_a_link(scene: Scene) -> None:
    scene.push("pca", "aaa")
    scene.push("forest", "aaa")
    for refused in (
        lambda: scene.store.show("pca@any"),
        lambda: scene.store.pull("pca@any"),
        lambda: scene.store.validate("pca", "forest@any"),
        lambda: scene.store.versions("pca", valid_for=["forest@any"]),
        lambda: scene.store.yank("pca@any", "broken"),
        lambda: scene.store.tag("pca@any", "prod"),
        lambda: scene.store.push("forest", b"two", valid_with=["pca@any"]),
        lambda: scene.store.affected("pca@any"),
    ):
        with pytest.raises(errors.InvalidReference, match="any is for the downstream op of a link"):
            refused()
    with pytest.raises(errors.InvalidTag):
        scene.store.tag("pca", "any")


@SCENARIOS.append
def recording_a_link_again_without_evidence_keeps_the_evidence(scene: Scene) -> None:
    scene.push("pca", "aaa")
    scene.push("forest", "aaa")
    first = scene.store.link("pca", "forest", evidence="report 7")
    assert scene.store.link("pca", "forest") == first
    assert scene.store.push("pca", b"pca aaa", valid_for=["forest"]).links == (first,)
    assert scene.store.link("pca", "forest", valid=False).evidence is None, "it was evidence for the opposite"


@SCENARIOS.append
def only_link_reverses_a_link_that_is_known_to_be_invalid(scene: Scene) -> None:
    scene.push("pca", "aaa")
    scene.push("forest", "aaa")
    invalid = scene.store.link("pca", "forest", valid=False, evidence="run 7")
    assert scene.store.push("pca", b"pca aaa", valid_for=["forest"]).links == (invalid,)
    assert scene.store.push("forest", b"forest aaa", valid_with=["pca"]).links == (invalid,)
    assert scene.store.register("pca", subversions=spelt("aaa"), valid_for=["forest@1.0.0"]).links == (invalid,)
    assert scene.store.validate("pca", "forest").edges[0].basis == "known-invalid"
    assert scene.store.link("pca", "forest").valid


@SCENARIOS.append
def only_link_reverses_a_link_that_is_known_to_be_invalid_for_any_version(scene: Scene) -> None:
    scene.push("pca", "aaa")
    scene.push("forest", "aaa")
    invalid = scene.store.link("pca", "forest@any", valid=False, evidence="run 7")
    assert scene.store.push("forest", b"new", valid_with=["pca"]).links == (invalid,)
    assert scene.store.push("pca", b"pca aaa", valid_for=["forest"]).links == (invalid,)
    assert scene.store.register("forest", subversions=spelt("bbb"), valid_with=["pca@1.0.0"]).links == (invalid,)
    assert scene.store.validate("pca", "forest").edges[0].basis == "known-invalid"
    exact = scene.store.link("pca", "forest")
    assert (exact.valid, scene.store.validate("pca", "forest").verdict) == (True, "valid")
    assert scene.store.push("pca", b"pca aaa", valid_for=["forest"]).links == (exact,), "it decides already"


@SCENARIOS.append
def a_push_returns_the_links_that_it_records(scene: Scene) -> None:
    scene.numbered("scaler")
    scene.numbered("forest")
    scene.create("boost")
    pushed = scene.store.push("pca", b"one", valid_for=["forest", "boost@any"], valid_with=["scaler@2"])
    ends = [(link.upstream, link.upstream_version, link.downstream, link.downstream_version) for link in pushed.links]
    assert ends == [
        ("pca", "1.0.0", "forest", "1.0.2"),
        ("pca", "1.0.0", "boost", None),
        ("scaler", "2.0.0", "pca", "1.0.0"),
    ]
    assert sorted(pushed.links, key=lambda link: -link.position) == scene.store.links("pca")


@SCENARIOS.append
def unlink_that_finds_nothing_lists_the_links_between_the_two_ops(scene: Scene) -> None:
    scene.numbered("pca")
    scene.push("forest", "aaa")
    with pytest.raises(errors.LinkNotFound) as refused:
        scene.store.unlink("pca", "forest")
    assert str(refused.value) == (
        "no link from pca@1.0.2 to forest@1.0.0 is in force; there is no link between pca and forest"
    )
    scene.store.link("pca@1.0.0", "forest")
    scene.store.link("pca@2.0.0", "forest@any", valid=False)
    with pytest.raises(errors.LinkNotFound) as refused:
        scene.store.unlink("pca@1.0.0", "forest@any")
    assert str(refused.value) == (
        "no link from pca@1.0.0 to forest@any is in force;"
        " the links between pca and forest: pca@2.0.0 -> forest@any (invalid), pca@1.0.0 -> forest@1.0.0"
    )
    for number in ("1.0.0", "1.0.1", "1.0.2", "1.1.0", "2.0.0"):
        scene.store.link(f"pca@{number}", "forest@1.0.0")
    with pytest.raises(
        errors.LinkNotFound,
        match=r"the links between pca and forest: pca@2\.0\.0 -> forest@1\.0\.0(, [^,]+){4}, and more\b",
    ):
        scene.store.unlink("pca@1.0.0", "forest@any")


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
    scene.create("forest")
    scene.numbered("pca")
    assert scene.store.link("pca", "forest@any").upstream_version == "1.0.2"


@SCENARIOS.append
def links_of_an_op_are_listed_newest_first_on_either_side(scene: Scene) -> None:
    for op in ("a", "b", "c"):
        scene.push(op, "aaa")
    scene.store.link("a", "b@any")
    scene.store.link("b", "c@any")
    scene.store.link("a", "c@any")
    everything = in_force(scene)
    assert [(row[0], row[2]) for row in everything] == [("a", "c"), ("b", "c"), ("a", "b")]
    positions = [link.position for link in scene.store.links()]
    assert positions == sorted(positions, reverse=True)
    assert [(row[0], row[2]) for row in in_force(scene, "b")] == [("b", "c"), ("a", "b")]
    with pytest.raises(errors.OpNotFound):
        scene.store.links("nobody")


@SCENARIOS.append
def recording_the_same_link_again_changes_nothing(scene: Scene) -> None:
    scene.create("forest")
    scene.push("pca", "aaa")
    first = scene.store.link("pca", "forest@any", evidence="report 7")
    rows = scene.rows()
    assert scene.store.link("pca", "forest@any", evidence="report 7") == first
    assert scene.rows() == rows


@SCENARIOS.append
def a_link_with_other_evidence_replaces_the_link_in_force(scene: Scene) -> None:
    scene.create("forest")
    scene.push("pca", "aaa")
    first = scene.store.link("pca", "forest@any", evidence="report 7")
    second = scene.store.link("pca", "forest@any", evidence="report 8")
    assert (first.evidence, second.evidence) == ("report 7", "report 8")
    assert second.position > first.position
    assert scene.store.links() == [second]
    assert scene.rows()["link"] == 2


@SCENARIOS.append
def the_newest_entry_for_the_same_versions_is_in_force(scene: Scene) -> None:
    scene.push("pca", "aaa")
    scene.push("forest", "aaa")
    scene.store.link("pca", "forest@any")
    scene.store.link("pca", "forest@1.0.0")
    assert scene.store.link("pca", "forest@any", valid=False).valid is False
    assert in_force(scene) == [
        ("pca", "1.0.0", "forest", None, False),
        ("pca", "1.0.0", "forest", "1.0.0", True),
    ]
    scene.store.link("pca", "forest@any")
    assert in_force(scene)[0] == ("pca", "1.0.0", "forest", None, True)
    assert scene.rows()["link"] == 4


@SCENARIOS.append
def unlink_revokes_only_the_link_between_these_versions(scene: Scene) -> None:
    scene.push("pca", "aaa")
    scene.push("forest", "aaa")
    bare = scene.store.link("pca", "forest@any")
    exact = scene.store.link("pca", "forest@1.0.0", evidence="report")
    assert scene.store.unlink("pca", "forest@1.0.0") == exact
    assert scene.store.links() == [bare]
    with pytest.raises(errors.LinkNotFound):
        scene.store.unlink("pca", "forest@1.0.0")
    assert scene.store.unlink("pca", "forest@any") == bare
    assert scene.store.links() == []
    assert scene.store.link("pca", "forest@any").position > exact.position


@SCENARIOS.append
def a_link_that_is_known_to_be_invalid_can_be_revoked_too(scene: Scene) -> None:
    scene.create("forest")
    scene.push("pca", "aaa")
    scene.store.link("pca", "forest@any", valid=False)
    assert scene.store.unlink("pca", "forest@any").valid is False
    assert scene.store.links() == []


@SCENARIOS.append
def a_link_or_unlink_that_finds_nothing_changes_nothing(scene: Scene) -> None:
    scene.create("forest")
    scene.push("pca", "aaa")
    before = scene.has()
    attempts: list[tuple[str, str, type[errors.OpStoreError]]] = [
        ("nobody", "forest", errors.OpNotFound),
        ("pca@9", "forest", errors.VersionNotFound),
        ("pca@prod", "forest", errors.TagNotFound),
        ("pca", "nobody", errors.OpNotFound),
        ("pca", "nobody@any", errors.OpNotFound),
        ("pca", "nobody@1.0.0", errors.OpNotFound),
        ("pca", "forest", errors.NoVersionYet),
        ("pca", "forest@1.0.0", errors.VersionNotFound),
        ("pca@any", "forest@any", errors.InvalidReference),
        ("pca", "Forest", errors.InvalidName),
        ("pca@", "forest", errors.InvalidReference),
    ]
    for upstream, downstream, error in attempts:
        with pytest.raises(errors.OpStoreError) as refused:
            scene.store.link(upstream, downstream)
        assert type(refused.value) is error, (upstream, downstream)
    with pytest.raises(errors.LinkNotFound):
        scene.store.unlink("pca", "forest@any")
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
    scene.push("c", "aaa")
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
    scene.create("forest", "boost")
    scene.push("pca", "aaa")
    first = scene.store.link("pca", "forest@any")
    scene.store.link("pca", "boost@any")
    second = scene.store.link("pca", "forest@any", valid=False, evidence="report 8")
    assert (first.state, first.until, second.state, second.until) == ("valid", None, "invalid", None)
    scene.store.unlink("pca", "forest@any")
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
