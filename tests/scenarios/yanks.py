"""Yanks: a yanked version stays, and only a reference that names it exactly selects it."""

import pytest

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.records import Lock, LockedVersion, PickedYanked
from tests.scenarios.scene import Scenario, Scene

SCENARIOS: list[Scenario] = []
BROKEN = PickedYanked(op="pca", version="2.0.0", reason="broken")


def _stocked(scene: Scene) -> None:
    """Register the pipeline pca -> forest; yank the newest pca, so that the older one is valid for forest."""
    scene.store.push("pca", b"one")
    scene.store.push("pca", b"two", subversions="aaaa.bbbb.cccc")
    scene.store.push("forest", b"trees", valid_with=["pca@1.0.0"])
    scene.store.register_pipeline("churn", ["pca", "forest"])
    scene.store.yank("pca@2.0.0", "broken")


@SCENARIOS.append
def a_yanked_version_is_selected_only_by_number_digest_or_subversions(scene: Scene) -> None:
    scene.store.push("pca", b"one")
    bad = scene.store.push("pca", b"two", tags=["dev"])
    assert scene.store.yank("pca@1.0.1", "trained on the wrong columns").yanked
    for reference in ("pca", "pca@latest", "pca@1", "pca@1.0", "pca@>=1.0.0"):
        assert scene.store.show(reference).version == "1.0.0"
    for reference in ("pca@1.0.1", f"pca@{bad.digest}", f"pca@{bad.subversions}"):
        assert (scene.store.show(reference).version, scene.store.show(reference).yanked) == ("1.0.1", True)
        assert scene.store.pull(reference) == b"two"
    with pytest.raises(errors.TagYanked):
        scene.store.show("pca@dev")
    assert [(version.version, version.yanked) for version in scene.store.versions("pca").versions] == [
        ("1.0.1", True),
        ("1.0.0", False),
    ]
    assert scene.store.op("pca").latest == "1.0.0"


@SCENARIOS.append
def undoing_a_yank_makes_the_version_the_latest_again(scene: Scene) -> None:
    scene.store.push("pca", b"one")
    scene.store.push("pca", b"two")
    scene.store.yank("pca", "for a while")
    assert not scene.store.unyank("pca@1.0.1").yanked
    assert scene.store.show("pca").version == "1.0.1"


@SCENARIOS.append
def if_all_stored_versions_are_yanked_there_is_no_latest(scene: Scene) -> None:
    scene.store.register("pca", subversions="aaaa.aaaa.aaaa")
    scene.store.push("pca", b"one")
    scene.store.yank("pca", "broken")
    assert scene.store.op("pca").latest is None
    for reference in ("pca", "pca@>=1.0.0"):
        with pytest.raises(errors.VersionNotFound):
            scene.store.show(reference)


@SCENARIOS.append
def yanking_changes_no_verdict(scene: Scene) -> None:
    scene.store.push("pca", b"one")
    scene.store.push("forest", b"trees", valid_with=["pca"])
    scene.store.yank("pca@1.0.0", "broken")
    assert scene.store.validate("pca@1.0.0", "forest").verdict == "valid"
    assert [link.valid for link in scene.store.links()] == [True]


@SCENARIOS.append
def a_yanked_version_is_no_candidate_of_a_selection(scene: Scene) -> None:
    scene.store.push("pca", b"one", new_ops="major")
    scene.store.push("pca", b"two")
    scene.store.push("forest", b"trees", valid_with=["pca"])
    scene.store.yank("pca@1.0.1", "broken")
    assert [version.version for version in scene.store.versions("pca", valid_for=["forest"]).versions] == ["1.0.0"]


@SCENARIOS.append
def the_next_push_still_bumps_the_newest_stored_version(scene: Scene) -> None:
    scene.store.push("pca", b"one")
    scene.store.push("pca", b"two", bump="major")
    scene.store.yank("pca", "broken")
    assert scene.store.push("pca", b"three").version == "2.0.1"


@SCENARIOS.append
def yanking_again_for_the_same_reason_changes_nothing(scene: Scene) -> None:
    scene.store.push("pca", b"one")
    scene.store.yank("pca@1.0.0", "broken")
    before = scene.store.push("x", b"x").position
    scene.store.yank("pca@1.0.0", "broken")
    scene.store.unyank("x")
    assert scene.store.push("x", b"y").position == before + 1


@SCENARIOS.append
def the_reason_is_shown_while_the_version_is_yanked(scene: Scene) -> None:
    _stocked(scene)
    yanked_at = scene.store.push("x", b"x").position - 1
    scene.store.yank("pca@2.0.0", "leaks the target")
    assert [(version.yanked, version.yank_reason) for version in scene.store.versions("pca").versions] == [
        (True, "leaks the target"),
        (False, None),
    ]
    assert scene.store.show("pca@2.0.0", as_of=str(yanked_at)).yank_reason == "broken"
    assert scene.store.show("pca@2.0.0", as_of=str(yanked_at - 1)).yank_reason is None
    ended = scene.store.unyank("pca@2.0.0")
    assert (ended.yanked, ended.yank_reason) == (False, None)
    assert scene.store.yank("pca@2.0.0", "again").yank_reason == "again"
    found = scene.store.resolve("churn", use=["pca@1.0.0"])
    assert [version.yank_reason for version in found.versions] == [None, None]


def _lock(scene: Scene, pca: str) -> Lock:
    """Return a lock of churn with that version of pca and the first forest."""
    versions = [scene.store.show(reference) for reference in (pca, "forest@1.0.0")]
    locked = [
        LockedVersion(op=each.op, subversions=each.subversions, digest=each.digest, size=each.size) for each in versions
    ]
    return Lock(edges=(("pca", "forest"),), versions=tuple(locked))


@SCENARIOS.append
def a_response_names_the_yanked_versions_that_references_selected(scene: Scene) -> None:
    _stocked(scene)
    store, picked = scene.store, ("pca@2.0.0", "pca@aaaa.bbbb.cccc")
    for reference in picked:
        assert store.validate(reference, "forest").picked_yanked == (BROKEN,)
        assert store.validate_pipeline("churn", use=[reference]).picked_yanked == (BROKEN,)
        assert store.resolve("churn", use=[reference]).picked_yanked == (BROKEN,)
        assert store.resolve("churn", lock=_lock(scene, reference), upgrade="pca").picked_yanked == (BROKEN,)
        assert store.affected(reference).picked_yanked == (BROKEN,)
        assert store.versions(reference).picked_yanked == (BROKEN,)
        assert store.versions("forest", valid_for=[reference]).picked_yanked == (BROKEN,)
        assert store.push("y", b"y", valid_for=[reference]).picked_yanked == (BROKEN,)
        assert store.push("z", b"z", valid_with=[reference, reference]).picked_yanked == (BROKEN,)
        assert store.register("w", fields={}, valid_with=[reference]).picked_yanked == (BROKEN,)
    store.yank("forest@1.0.0", "too small")
    small = PickedYanked(op="forest", version="1.0.0", reason="too small")
    assert store.validate("pca@2.0.0", "forest@1.0.0").picked_yanked == (BROKEN, small)
    store.unyank("forest@1.0.0")
    assert store.resolve("churn", lock=_lock(scene, "pca@1.0.0"), upgrade="pca").picked_yanked == ()


@SCENARIOS.append
def a_push_of_a_yanked_version_names_it(scene: Scene) -> None:
    _stocked(scene)
    again = scene.store.push("pca", b"two", subversions="aaaa.bbbb.cccc")
    assert (again.created, again.yank_reason, again.picked_yanked) == (False, "broken", (BROKEN,))
    assert scene.store.push("pca", b"three").picked_yanked == ()


@SCENARIOS.append
def a_yanked_version_that_no_reference_selected_is_not_named(scene: Scene) -> None:
    _stocked(scene)
    store = scene.store
    assert store.versions("pca").picked_yanked == ()
    assert store.versions("pca", valid_for=["forest"]).picked_yanked == ()
    assert store.validate("pca", "forest").picked_yanked == ()
    assert store.resolve("churn").picked_yanked == ()
    assert store.affected("pca@1.0.0").picked_yanked == ()
    position = store.push("x", b"x").position
    store.unyank("pca@2.0.0")
    assert store.validate("pca@2.0.0", "forest").picked_yanked == ()
    assert store.validate("pca@2.0.0", "forest", as_of=str(position)).picked_yanked == (BROKEN,)
