"""A version and its links are recorded in one transaction (docs/rules.md)."""

import pytest

from opstore_daemon.protocol import errors
from tests.scenarios.scene import Scenario, Scene, spelt

SCENARIOS: list[Scenario] = []


@SCENARIOS.append
def a_version_and_its_links_come_together(scene: Scene) -> None:
    scene.push("scaler", "aaa")
    scene.numbered("forest")
    pushed = scene.store.push(
        "pca", b"one", valid_for=["forest@any", "forest@1.1", "boost@any"], new_ops="major", valid_with=["scaler"]
    )
    links = {
        (link.upstream, link.upstream_version, link.downstream, link.downstream_version) for link in scene.store.links()
    }
    assert links == {
        ("pca", "1.0.0", "forest", None),
        ("pca", "1.0.0", "forest", "1.1.0"),
        ("pca", "1.0.0", "boost", None),
        ("scaler", "1.0.0", "pca", "1.0.0"),
    }
    positions = sorted(link.position for link in scene.store.links())
    assert positions == list(range(pushed.position + 1, pushed.position + 5))


@SCENARIOS.append
def a_registered_version_comes_with_its_links_too(scene: Scene) -> None:
    scene.push("scaler", "aaa")
    scene.store.register(
        "pca", subversions=spelt("aaa"), valid_for=["forest@any"], new_ops="major", valid_with=["scaler@1.0.0"]
    )
    assert scene.store.validate("scaler", "pca").verdict == "valid"
    assert scene.store.validate("pca", "forest").verdict == "valid"


@SCENARIOS.append
def one_reference_that_finds_nothing_undoes_the_whole_push(scene: Scene) -> None:
    scene.push("scaler", "aaa")
    scene.push("boost", "aaa")
    before = scene.has()
    attempts: list[tuple[list[str], list[str], type[errors.OpStoreError]]] = [
        (["boost", "forest@1.0.0"], [], errors.OpNotFound),
        (["boost", "scaler@9"], [], errors.VersionNotFound),
        (["boost"], ["scaler", "nobody"], errors.OpNotFound),
        (["boost"], ["scaler@9.9.9"], errors.VersionNotFound),
        (["boost"], ["scaler@prod"], errors.TagNotFound),
        (["boost", "Forest"], [], errors.InvalidName),
        (["boost", "forest@"], [], errors.InvalidReference),
    ]
    for valid_for, valid_with, error in attempts:
        with pytest.raises(errors.OpStoreError) as refused:
            scene.store.push("pca", b"never kept", valid_for=valid_for, valid_with=valid_with)
        assert type(refused.value) is error, (valid_for, valid_with)
        with pytest.raises(errors.OpStoreError) as refused:
            scene.store.register("pca", subversions=spelt("aaa"), valid_for=valid_for, valid_with=valid_with)
        assert type(refused.value) is error, (valid_for, valid_with)
    assert scene.has() == before
    assert [op.name for op in scene.store.ops()] == ["boost", "scaler"]


@SCENARIOS.append
def a_refused_push_to_an_existing_op_changes_nothing(scene: Scene) -> None:
    first = scene.store.push("pca", b"one", labels={"k": "v"})
    before = scene.has()
    with pytest.raises(errors.OpNotFound):
        scene.store.push("pca", b"two", labels={"k": "w"}, valid_for=["forest@1"])
    with pytest.raises(errors.OpNotFound):
        scene.store.push("pca", b"one", labels={"k": "w"}, valid_for=["forest@1"])
    assert scene.has() == before
    assert scene.store.show("pca").labels == {"k": "v"}
    assert scene.store.push("pca", b"two").version == "1.0.1"
    assert first.version == "1.0.0"
