"""Yanks: a yanked version stays where it is, and is picked by nothing but its own name."""

import pytest

from opstore_daemon.protocol import errors
from tests.scenarios.scene import Scenario, Scene

SCENARIOS: list[Scenario] = []


@SCENARIOS.append
def a_yanked_version_is_picked_by_number_digest_and_subversions_only(scene: Scene) -> None:
    scene.store.push("pca", b"one")
    bad = scene.store.push("pca", b"two", tags=["dev"])
    assert scene.store.yank("pca@1.0.1", "trained on the wrong columns").yanked
    for reference in ("pca", "pca@latest", "pca@1", "pca@1.0", "pca@>=1.0.0"):
        assert scene.store.show(reference).number == "1.0.0"
    for reference in ("pca@1.0.1", f"pca@{bad.digest}", f"pca@{bad.version}"):
        assert (scene.store.show(reference).number, scene.store.show(reference).yanked) == ("1.0.1", True)
        assert scene.store.pull(reference) == b"two"
    with pytest.raises(errors.TagYanked):
        scene.store.show("pca@dev")
    assert [(version.number, version.yanked) for version in scene.store.versions("pca").versions] == [
        ("1.0.1", True),
        ("1.0.0", False),
    ]
    assert scene.store.op("pca").latest == "1.0.0"


@SCENARIOS.append
def a_yank_that_ends_makes_it_the_latest_again(scene: Scene) -> None:
    scene.store.push("pca", b"one")
    scene.store.push("pca", b"two")
    scene.store.yank("pca", "for a while")
    assert not scene.store.unyank("pca@1.0.1").yanked
    assert scene.store.show("pca").number == "1.0.1"


@SCENARIOS.append
def where_all_stored_versions_are_yanked_there_is_no_latest(scene: Scene) -> None:
    scene.store.register("pca", version="aaaa.aaaa.aaaa")
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
def a_yanked_version_is_no_candidate_for_what_is_valid(scene: Scene) -> None:
    scene.store.push("pca", b"one")
    scene.store.push("pca", b"two")
    scene.store.push("forest", b"trees", valid_with=["pca"])
    scene.store.yank("pca@1.0.1", "broken")
    assert [version.number for version in scene.store.versions("pca", valid_for=["forest"]).versions] == ["1.0.0"]


@SCENARIOS.append
def the_next_push_still_comes_from_the_newest_stored_version(scene: Scene) -> None:
    scene.store.push("pca", b"one")
    scene.store.push("pca", b"two", bump="major")
    scene.store.yank("pca", "broken")
    assert scene.store.push("pca", b"three").number == "2.0.1"


@SCENARIOS.append
def a_second_yank_with_the_same_reason_is_nothing_new(scene: Scene) -> None:
    scene.store.push("pca", b"one")
    scene.store.yank("pca@1.0.0", "broken")
    before = scene.store.push("x", b"x").position
    scene.store.yank("pca@1.0.0", "broken")
    scene.store.unyank("x")
    assert scene.store.push("x", b"y").position == before + 1
