"""Verdicts and their reasons, rule by rule (docs/rules.md)."""

import pytest

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.records import VERDICTS, EdgeVerdict
from tests.scenarios.scene import Scenario, Scene, spelt

SCENARIOS: list[Scenario] = []


def verdict(scene: Scene, upstream: str = "pca", downstream: str = "forest") -> tuple[str, str]:
    """Return the verdict and its reason."""
    edge = judged(scene, upstream, downstream)
    return edge.verdict, edge.reason


def judged(scene: Scene, upstream: str = "pca", downstream: str = "forest") -> EdgeVerdict:
    """Return the verdict of the one edge."""
    validation = scene.store.validate(upstream, downstream)
    (edge,) = validation.edges
    assert edge.verdict == validation.verdict == VERDICTS[edge.basis]
    assert bool(edge) == bool(validation) == (edge.verdict == "valid")
    return edge


@SCENARIOS.append
def a_new_version_is_not_valid_by_default_until_somebody_validates_it(scene: Scene) -> None:
    scene.store.push("pca", b"one")
    scene.store.push("forest", b"trees", valid_with=["pca"])
    assert judged(scene).basis == "link"
    for level in (None, "minor", "major"):
        scene.store.push("pca", f"{level}".encode(), bump=level)
        assert (judged(scene).verdict, judged(scene).basis) == ("invalid", "not-validated")
    scene.store.push("forest", b"more trees")
    assert judged(scene, "pca@1.0.0").basis == "not-validated"


@SCENARIOS.append
def the_basis_names_the_rule_that_decided(scene: Scene) -> None:
    scene.store.register_pipeline("p", ["pca", "forest"])
    assert judged(scene).basis == "no-version"
    scene.numbered("pca")
    assert judged(scene).basis == "no-links"
    scene.push("forest", "aaa")
    scene.store.link("pca@1.0.0", "forest", valid=False)
    assert judged(scene, "pca@1.0.0").basis == "known-invalid"
    assert judged(scene, "pca@1.0.1").basis == "no-links"
    scene.store.link("pca@1.0.2", "forest@any")
    assert [judged(scene, f"pca@{number}").basis for number in ("1.0.0", "1.0.1", "1.0.2", "2.0.0")] == [
        "known-invalid",
        "not-validated",
        "link",
        "not-validated",
    ]
    scene.store.set_op("pca", compat="major")
    assert [judged(scene, f"pca@{number}").basis for number in ("1.0.0", "1.0.1", "1.0.2", "2.0.0")] == [
        "known-invalid",
        "compatible",
        "link",
        "not-validated",
    ]
    (affected,) = scene.store.affected("pca@2.0.0").affected
    assert (affected.verdict, affected.basis) == ("invalid", "not-validated")


@SCENARIOS.append
def a_push_names_the_linked_version_that_the_new_one_counts_as_compatible_with(scene: Scene) -> None:
    scene.push("forest", "aaa")
    assert scene.store.push("pca", b"one", new_ops="major").compatible_with is None
    scene.store.link("pca", "forest")
    assert scene.store.push("pca", b"two").compatible_with == "1.0.0"
    assert scene.store.push("pca", b"two").compatible_with is None, "nothing new"
    assert scene.store.push("pca", b"three", bump="minor").compatible_with == "1.0.0"
    assert scene.store.push("pca", b"four", bump="major").compatible_with is None
    scene.store.set_op("pca", compat="minor")
    scene.store.link("pca@2.0.0", "forest", valid=False)
    assert scene.store.push("pca", b"five").compatible_with is None
    scene.store.link("pca@2.0.1", "forest")
    assert scene.store.push("pca", b"six").compatible_with == "2.0.1"
    assert scene.store.push("pca", b"seven", bump="minor").compatible_with is None
    scene.store.set_op("pca", compat="exact")
    assert scene.store.push("pca", b"eight").compatible_with is None


def word(scene: Scene, upstream: str = "pca", downstream: str = "forest") -> str:
    """Return the verdict."""
    return verdict(scene, upstream, downstream)[0]


@SCENARIOS.append
def without_any_link_the_verdict_is_unknown(scene: Scene) -> None:
    scene.push("pca", "aaa")
    scene.push("forest", "aaa")
    assert verdict(scene) == ("unknown", "no link says whether pca 1.0.0 is valid for forest 1.0.0")
    edge = scene.store.validate("pca", "forest").edges[0]
    assert (edge.upstream.op, edge.upstream.version) == ("pca", "1.0.0")
    assert (edge.downstream.op, edge.downstream.version) == ("forest", "1.0.0")


@SCENARIOS.append
def a_link_between_exactly_the_two_versions_decides_first(scene: Scene) -> None:
    scene.push("pca", "aaa")
    scene.push("forest", "aaa")
    scene.store.link("pca", "forest@1.0.0")
    scene.store.link("pca", "forest@any", valid=False)
    assert verdict(scene) == ("valid", "pca 1.0.0 is valid for forest 1.0.0")
    scene.store.link("pca", "forest@1.0.0", valid=False)
    scene.store.link("pca", "forest@any")
    assert verdict(scene) == ("invalid", "pca 1.0.0 is known not to be valid for forest 1.0.0")


@SCENARIOS.append
def a_link_for_the_downstream_op_decides_next(scene: Scene) -> None:
    scene.push("pca", "aaa")
    scene.push("forest", "aaa")
    scene.store.link("pca", "forest@any")
    assert verdict(scene) == ("valid", "pca 1.0.0 is valid for any version of forest")
    scene.store.link("pca", "forest@any", valid=False)
    assert verdict(scene) == ("invalid", "pca 1.0.0 is known not to be valid for any version of forest")


@SCENARIOS.append
def a_link_of_the_version_itself_beats_links_of_compatible_versions(scene: Scene) -> None:
    scene.push("forest", "aaa")
    scene.numbered("pca")
    scene.store.link("pca@1.0.0", "forest@1.0.0")
    scene.store.link("pca@1.0.1", "forest@any", valid=False)
    assert word(scene, "pca@1.0.1") == "invalid"
    assert word(scene, "pca@1.0.2") == "valid"


@SCENARIOS.append
def a_valid_link_of_a_compatible_version_makes_an_edge_valid(scene: Scene) -> None:
    scene.push("forest", "aaa")
    scene.numbered("pca")
    scene.store.link("pca@1.0.1", "forest@any")
    assert verdict(scene, "pca@1.1") == (
        "valid",
        "pca 1.1.0 is compatible (major) with 1.0.1, which is valid for any version of forest",
    )
    scene.store.unlink("pca@1.0.1", "forest@any")
    scene.store.link("pca@1.0.1", "forest@1.0.0")
    assert verdict(scene, "pca@1.1") == (
        "valid",
        "pca 1.1.0 is compatible (major) with 1.0.1, which is valid for forest 1.0.0",
    )


@SCENARIOS.append
def of_several_compatible_versions_the_newest_link_is_named(scene: Scene) -> None:
    scene.push("forest", "aaa")
    scene.numbered("pca")
    for number in ("1.0.0", "1.0.1", "2.0.0"):
        scene.store.link(f"pca@{number}", "forest@any")
    assert (
        verdict(scene, "pca@1.1")[1]
        == "pca 1.1.0 is compatible (major) with 1.0.1, which is valid for any version of forest"
    )


@SCENARIOS.append
def a_valid_link_for_one_downstream_version_makes_no_other_valid(scene: Scene) -> None:
    scene.numbered("forest")
    scene.numbered("pca")
    scene.store.link("pca@1.0.0", "forest@1.0.0")
    assert word(scene, "pca@1.0.0", "forest@1.0.0") == "valid"
    assert verdict(scene, "pca@1.0.0", "forest@1.0.1") == (
        "invalid",
        "pca 1.0.0 is not validated for forest 1.0.1; last validated: 1.0.0 for forest 1.0.0",
    )
    assert word(scene, "pca@1.0.1", "forest@1.0.1") == "invalid"
    assert word(scene, "pca@1.0.1", "forest@1.0.0") == "valid"


@SCENARIOS.append
def the_compatibility_level_decides_which_versions_are_compatible(scene: Scene) -> None:
    scene.push("forest", "aaa")
    scene.numbered("pca")
    scene.store.link("pca@1.0.0", "forest@any")
    candidates = ("1.0.0", "1.0.1", "1.1.0", "2.0.0")

    def words() -> list[str]:
        return [word(scene, f"pca@{number}") for number in candidates]

    assert words() == ["valid", "valid", "valid", "invalid"]
    assert scene.store.set_op("pca", compat="minor").compat == "minor"
    assert words() == ["valid", "valid", "invalid", "invalid"]
    assert (
        verdict(scene, "pca@1.0.1")[1]
        == "pca 1.0.1 is compatible (minor) with 1.0.0, which is valid for any version of forest"
    )
    assert scene.store.set_op("pca", compat="exact").compat == "exact"
    assert words() == ["valid", "invalid", "invalid", "invalid"]
    assert scene.store.set_op("pca", compat="major").compat == "major"
    assert words() == ["valid", "valid", "valid", "invalid"]
    assert scene.store.op("pca").compat == "major"


@SCENARIOS.append
def the_downstream_op_s_level_does_not_matter(scene: Scene) -> None:
    scene.numbered("forest")
    scene.push("pca", "aaa")
    scene.store.link("pca", "forest@1.0.0")
    scene.store.set_op("pca", compat="exact")
    assert word(scene, "pca", "forest@1.0.1") == "invalid"


@SCENARIOS.append
def setting_the_same_level_again_makes_no_entry(scene: Scene) -> None:
    scene.push("pca", "aaa")
    scene.store.set_op("pca", compat="minor")
    rows = scene.rows()
    scene.store.set_op("pca", compat="minor")
    assert scene.rows() == rows
    with pytest.raises(errors.OpNotFound):
        scene.store.set_op("nobody", compat="minor")


@SCENARIOS.append
def if_another_version_is_validated_the_verdict_is_invalid_and_names_it(scene: Scene) -> None:
    scene.push("forest", "aaa")
    scene.numbered("pca")
    scene.store.link("pca@1.0.0", "forest@any")
    assert verdict(scene, "pca@2") == (
        "invalid",
        "pca 2.0.0 is not validated for forest 1.0.0; last validated: 1.0.0 for any version of forest",
    )


@SCENARIOS.append
def invalid_links_of_other_versions_leave_the_verdict_unknown(scene: Scene) -> None:
    scene.push("forest", "aaa")
    scene.numbered("pca")
    scene.store.link("pca@1.0.0", "forest@any", valid=False)
    assert word(scene, "pca@1.0.0") == "invalid"
    assert word(scene, "pca@1.0.1") == "unknown"
    assert word(scene, "pca@2") == "unknown"


@SCENARIOS.append
def a_revoked_link_does_not_count(scene: Scene) -> None:
    scene.push("forest", "aaa")
    scene.push("pca", "aaa")
    scene.push("pca", "baa")
    scene.store.link("pca@1.0.0", "forest@any")
    assert (word(scene, "pca@1.0.0"), word(scene, "pca@2.0.0")) == ("valid", "invalid")
    scene.store.unlink("pca@1.0.0", "forest@any")
    assert (word(scene, "pca@1.0.0"), word(scene, "pca@2.0.0")) == ("unknown", "unknown")


@SCENARIOS.append
def for_a_downstream_without_versions_only_links_for_the_op_count(scene: Scene) -> None:
    scene.push("pca", "aaa")
    scene.store.register_pipeline("p", ["pca", "forest"])
    assert verdict(scene) == ("unknown", "no link says whether pca 1.0.0 is valid for forest")
    scene.store.link("pca", "forest@any")
    assert verdict(scene) == ("valid", "pca 1.0.0 is valid for any version of forest")
    scene.push("forest", "aaa")
    assert word(scene) == "valid"


@SCENARIOS.append
def an_upstream_without_versions_is_unknown(scene: Scene) -> None:
    scene.push("forest", "aaa")
    scene.store.register_pipeline("p", ["pca", "forest"])
    assert verdict(scene) == ("unknown", "pca has no version")


@SCENARIOS.append
def a_link_in_the_other_direction_does_not_count(scene: Scene) -> None:
    scene.push("pca", "aaa")
    scene.push("forest", "aaa")
    scene.store.link("forest", "pca@any")
    assert word(scene, "pca", "forest") == "unknown"
    assert word(scene, "forest", "pca") == "valid"


@SCENARIOS.append
def a_bare_name_means_the_latest_version_on_both_sides(scene: Scene) -> None:
    scene.numbered("pca")
    scene.numbered("forest")
    edge = scene.store.validate("pca", "forest").edges[0]
    assert (edge.upstream.version, edge.downstream.version) == ("1.0.2", "1.0.2")
    edge = scene.store.validate("pca@2", "forest@1.1").edges[0]
    assert (edge.upstream.version, edge.downstream.version) == ("2.0.0", "1.1.0")


@SCENARIOS.append
def validate_names_what_it_does_not_find(scene: Scene) -> None:
    scene.push("pca", "aaa")
    with pytest.raises(errors.OpNotFound):
        scene.store.validate("pca", "forest")
    with pytest.raises(errors.OpNotFound):
        scene.store.validate("nobody", "pca")
    scene.push("forest", "aaa")
    with pytest.raises(errors.VersionNotFound):
        scene.store.validate("pca@9", "forest")
    with pytest.raises(errors.VersionNotFound):
        scene.store.validate("pca", "forest@9")


@SCENARIOS.append
def registered_versions_count_for_verdicts_like_stored_ones(scene: Scene) -> None:
    scene.store.register("pca", subversions=spelt("aaa"), valid_for=["forest@any"], new_ops="major")
    scene.store.register("forest", subversions=spelt("aaa"))
    assert verdict(scene) == ("valid", "pca 1.0.0 is valid for any version of forest")
