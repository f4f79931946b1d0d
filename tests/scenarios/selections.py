"""The versions that are valid for a downstream, and why newer ones are skipped (docs/commands.md)."""

import pytest
from sqlalchemy import insert

from opstore_daemon.metadata.tables import Journal, Version
from opstore_daemon.protocol import errors
from tests.scenarios.scene import Scenario, Scene, numbers, spelt

SCENARIOS: list[Scenario] = []


@SCENARIOS.append
def the_newest_valid_version_comes_first_and_newer_ones_are_skipped_with_the_reason(scene: Scene) -> None:
    scene.numbered("pca")
    scene.push("forest", "aaa")
    scene.store.set_op("pca", compat="minor")
    scene.store.link("pca@1.0.1", "forest@any")
    scene.store.link("pca@1.0.2", "forest@any", valid=False)
    found = scene.store.versions("pca", valid_for=["forest"])
    assert (numbers(found), found.verdict) == (["1.0.1", "1.0.0"], "valid")
    assert [(skipped.op, skipped.version, skipped.reason) for skipped in found.skipped] == [
        ("pca", "1.0.2", "pca 1.0.2 is known not to be valid for any version of forest"),
        (
            "pca",
            "2.0.0",
            "pca 2.0.0 is not validated for forest 1.0.0; last validated: 1.0.1 for any version of forest",
        ),
        (
            "pca",
            "1.1.0",
            "pca 1.1.0 is not validated for forest 1.0.0; last validated: 1.0.1 for any version of forest",
        ),
    ]
    first = scene.store.versions("pca", valid_for=["forest"], limit=1)
    assert (numbers(first), first.skipped) == (["1.0.1"], found.skipped)


@SCENARIOS.append
def without_any_link_an_empty_selection_is_unknown(scene: Scene) -> None:
    scene.numbered("pca")
    scene.push("forest", "aaa")
    found = scene.store.versions("pca", valid_for=["forest"])
    assert (found.versions, found.verdict, len(found.skipped)) == ((), "unknown", 5)
    scene.store.link("pca@1.0.0", "forest@any")
    scene.store.unlink("pca@1.0.0", "forest@any")
    assert scene.store.versions("pca", valid_for=["forest"]).verdict == "unknown"


@SCENARIOS.append
def with_a_link_in_force_an_empty_selection_is_invalid(scene: Scene) -> None:
    scene.push("pca", "aaa")
    scene.push("forest", "aaa")
    scene.push("forest", "baa")
    scene.store.link("pca", "forest@1.0.0")
    found = scene.store.versions("pca", valid_for=["forest"])
    assert (found.versions, found.verdict) == ((), "invalid")
    scene.store.unlink("pca", "forest@1.0.0")
    scene.store.link("pca", "forest@any", valid=False)
    assert scene.store.versions("pca", valid_for=["forest"]).verdict == "invalid"


@SCENARIOS.append
def the_selection_of_an_op_without_versions_is_empty_and_without_links_unknown(scene: Scene) -> None:
    scene.push("forest", "aaa")
    scene.store.register_pipeline("p", ["pca", "forest"])
    found = scene.store.versions("pca", valid_for=["forest"])
    assert (found.versions, found.skipped, found.verdict) == ((), (), "unknown")


@SCENARIOS.append
def a_version_must_be_valid_for_each_of_several_downstreams(scene: Scene) -> None:
    scene.numbered("pca")
    for op in ("forest", "boost"):
        scene.push(op, "aaa")
    scene.store.set_op("pca", compat="exact")
    for number in ("1.0.0", "1.0.1", "1.1.0"):
        scene.store.link(f"pca@{number}", "forest@any")
    for number in ("1.0.0", "1.0.1", "2.0.0"):
        scene.store.link(f"pca@{number}", "boost@any")
    found = scene.store.versions("pca", valid_for=["forest", "boost"])
    assert numbers(found) == ["1.0.1", "1.0.0"]
    assert [skipped.version for skipped in found.skipped] == ["1.0.2", "2.0.0", "1.1.0"]
    assert "forest" in found.skipped[1].reason
    assert "boost" in found.skipped[2].reason
    assert scene.store.versions("pca@>=1.1", valid_for=["forest", "boost"]).verdict == "invalid"


@SCENARIOS.append
def a_known_failure_takes_precedence_over_an_unknown_verdict_as_the_reason(scene: Scene) -> None:
    scene.push("pca", "aaa")
    for op in ("forest", "boost"):
        scene.push(op, "aaa")
    scene.store.link("pca", "boost@any", valid=False)
    found = scene.store.versions("pca", valid_for=["forest", "boost"])
    assert (found.verdict, found.skipped[0].reason) == (
        "invalid",
        "pca 1.0.0 is known not to be valid for any version of boost",
    )
    scene.store.link("pca", "boost@any")
    found = scene.store.versions("pca", valid_for=["forest", "boost"])
    assert found.verdict == "unknown"


@SCENARIOS.append
def a_downstream_reference_means_the_version_it_selects(scene: Scene) -> None:
    scene.numbered("pca")
    scene.numbered("forest")
    scene.store.set_op("pca", compat="exact")
    scene.store.link("pca@1.0.0", "forest@1.1.0")
    scene.store.link("pca@1.0.1", "forest@1.0.2")
    assert numbers(scene.store.versions("pca", valid_for=["forest@1.1"])) == ["1.0.0"]
    assert numbers(scene.store.versions("pca", valid_for=["forest"])) == ["1.0.1"]
    assert numbers(scene.store.versions("pca", valid_for=["forest@2.0.0"])) == []


@SCENARIOS.append
def only_versions_that_the_reference_admits_are_validated(scene: Scene) -> None:
    scene.numbered("pca")
    scene.push("forest", "aaa")
    scene.store.link("pca@1.0.0", "forest@any")
    found = scene.store.versions("pca@>=1.1", valid_for=["forest"])
    assert (numbers(found), [skipped.version for skipped in found.skipped]) == (["1.1.0"], ["2.0.0"])
    assert numbers(scene.store.versions("pca@1.0", valid_for=["forest"])) == ["1.0.2", "1.0.1", "1.0.0"]
    assert numbers(scene.store.versions("pca@2", valid_for=["forest"])) == []
    assert numbers(scene.store.versions("pca@1.0.1", valid_for=["forest"])) == ["1.0.1"]


@SCENARIOS.append
def only_versions_that_latest_could_select_are_candidates(scene: Scene) -> None:
    scene.push("pca", "aaa")
    scene.store.register("pca", subversions=spelt("aab"))
    scene.push("forest", "aaa")
    scene.store.link("pca@1.0.1", "forest@any")
    found = scene.store.versions("pca", valid_for=["forest"])
    assert (numbers(found), found.skipped) == (["1.0.0"], ())


@SCENARIOS.append
def a_missing_downstream_is_not_found(scene: Scene) -> None:
    scene.push("pca", "aaa")
    with pytest.raises(errors.OpNotFound):
        scene.store.versions("pca", valid_for=["forest"])
    scene.push("forest", "aaa")
    with pytest.raises(errors.VersionNotFound):
        scene.store.versions("pca", valid_for=["forest@9"])
    with pytest.raises(errors.OpNotFound):
        scene.store.versions("nobody", valid_for=["forest"])


@SCENARIOS.append
def versions_are_listed_across_pages(scene: Scene) -> None:
    with scene.database.write() as connection:
        connection.exec_driver_sql("INSERT INTO op (id, name, last_sequence) VALUES (1, 'pca', 2100)")
        connection.exec_driver_sql("UPDATE counter SET position = 2100")
        connection.execute(insert(Journal), [{"position": n, "at": 0, "kind": "version"} for n in range(1, 2101)])
        rows = [
            {"op_id": 1, "sequence": n, "major": "aaaa", "minor": "aaaa", "patch": f"{n:04x}"}
            | {"major_number": 1, "minor_number": 0, "patch_number": n - 1, "position": n, "registered_at": 0}
            for n in range(1, 2101)
        ]
        connection.execute(insert(Version), rows)
    scene.create("forest")
    scene.store.link("pca@1.0.5", "forest@any")
    scene.store.set_op("pca", compat="exact")
    assert [version.sequence for version in scene.store.versions("pca").versions] == list(range(2100, 0, -1))
    assert len(scene.store.versions("pca", limit=1500).versions) == 1500
    found = scene.store.versions("pca", valid_for=["forest"], limit=1)
    assert (numbers(found), len(found.skipped)) == (["1.0.5"], 2094)
