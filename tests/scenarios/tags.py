"""Tags: movable names of versions, with a history of their moves."""

import pytest

from opstore_daemon.protocol import errors
from tests.scenarios.scene import Scenario, Scene

SCENARIOS: list[Scenario] = []


def moves(scene: Scene, op: str | None = None, *, history: bool = False) -> list[tuple[str, str | None, str]]:
    return [(tag.op, tag.version, tag.tag) for tag in scene.store.tags(op, history=history)]


@SCENARIOS.append
def a_tag_selects_its_version(scene: Scene) -> None:
    scene.store.push("pca", b"one")
    scene.store.push("pca", b"two")
    (tagged,) = scene.store.tag("pca@1.0.0", "production")
    assert (tagged.op, tagged.version, tagged.tag) == ("pca", "1.0.0", "production")
    assert scene.store.show("pca@production").version == "1.0.0"
    assert scene.store.show("pca@production").tags == ("production",)
    assert scene.store.show("pca").tags == ()
    assert scene.store.pull("pca@production") == b"one"


@SCENARIOS.append
def a_tag_moves_and_every_move_is_kept(scene: Scene) -> None:
    scene.store.push("pca", b"one", tags=["dev", "production"])
    scene.store.push("pca", b"two")
    scene.store.tag("pca", "production")
    assert scene.store.show("pca@production").version == "1.0.1"
    scene.store.untag("pca", "dev")
    assert moves(scene) == [("pca", "1.0.1", "production")]
    assert moves(scene, "pca", history=True) == [
        ("pca", None, "dev"),
        ("pca", "1.0.1", "production"),
        ("pca", "1.0.0", "dev"),
        ("pca", "1.0.0", "production"),
    ]
    with pytest.raises(errors.TagNotFound):
        scene.store.show("pca@dev")
    with pytest.raises(errors.TagNotFound):
        scene.store.untag("pca", "dev")


@SCENARIOS.append
def moving_a_tag_to_its_own_version_changes_nothing(scene: Scene) -> None:
    scene.store.push("pca", b"one", tags=["dev"])
    before = scene.store.tags(history=True)
    assert scene.store.tag("pca", "dev") == before
    scene.store.push("pca", b"one", tags=["dev"])
    assert scene.store.tags(history=True) == before


@SCENARIOS.append
def versions_of_several_ops_are_tagged_in_one_transaction(scene: Scene) -> None:
    for op in ("scaler", "pca", "forest"):
        scene.store.push(op, b"one")
    moved = scene.store.tag(["scaler", "pca", "forest"], "production")
    assert len({tag.position for tag in moved}) == 1
    scene.store.push("scaler", b"two")
    with pytest.raises(errors.VersionNotFound):
        scene.store.tag(["scaler", "pca@7"], "production")
    assert scene.store.show("scaler@production").version == "1.0.0"
    with pytest.raises(errors.InvalidRequest):
        scene.store.tag(["pca@1.0.0", "pca@latest"], "production")


@SCENARIOS.append
def a_tag_that_looks_like_another_selector_is_refused(scene: Scene) -> None:
    scene.store.push("pca", b"one")
    for name in ("latest", "1", "1.2", "2024.11.15", "01.2.3", "aaaa.bbbb.cccc"):
        with pytest.raises(errors.InvalidTag):
            scene.store.tag("pca", name)
        with pytest.raises(errors.InvalidTag):
            scene.store.push("pca", b"two", tags=[name])
    for name in ("", "A", "a..b", "con", "x" * 129):
        with pytest.raises(errors.InvalidName):
            scene.store.tag("pca", name)
    assert scene.store.tags(history=True) == []
    assert scene.store.op("pca").versions == 1


@SCENARIOS.append
def a_tag_belongs_to_one_op(scene: Scene) -> None:
    scene.store.push("pca", b"one", tags=["dev"])
    scene.store.push("forest", b"one")
    with pytest.raises(errors.TagNotFound):
        scene.store.show("forest@dev")
    scene.store.tag("forest", "dev")
    assert moves(scene, "pca") == [("pca", "1.0.0", "dev")]
    with pytest.raises(errors.OpNotFound):
        scene.store.tags("nobody")


@SCENARIOS.append
def tags_can_be_listed_as_of_a_position(scene: Scene) -> None:
    first = scene.store.push("pca", b"one", tags=["dev"]).position + 1
    scene.store.push("pca", b"two")
    scene.store.tag("pca", "dev")
    assert scene.store.show("pca@dev", as_of=str(first)).version == "1.0.0"
    assert [tag.version for tag in scene.store.tags(as_of=str(first))] == ["1.0.0"]
