"""`otherwise="patch"`: other bytes for a stored version make a new patch version with copies of its valid links."""

import pytest

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.records import Fields
from tests.scenarios.scene import Scenario, Scene, numbers, sha256, spelt

SCENARIOS: list[Scenario] = []


def save(scene: Scene, data: bytes, version: str = "aaa", op: str = "pca") -> tuple[str, bool]:
    pushed = scene.store.push(op, data, subversions=spelt(version), otherwise="patch")
    return pushed.version, pushed.created


@SCENARIOS.append
def other_bytes_for_a_stored_version_make_the_patch_that_a_bump_from_it_makes(scene: Scene) -> None:
    first = scene.store.push("pca", b"one", subversions=spelt("abc") + "_2020-01-01 10:00:00", otherwise="patch")
    assert (first.version, first.subversions, first.note) == ("1.0.0", spelt("abc"), "2020-01-01 10:00:00")
    second = scene.store.push("pca", b"two", subversions=spelt("abc"), otherwise="patch")
    patch = sha256(f"{spelt('abc')}\nsha256:" + sha256(b"two"))
    assert (second.version, second.subversions) == ("1.0.1", f"aaaa.bbbb.{patch}")
    assert (second.created, second.sequence, second.note) == (True, 2, None)
    assert scene.store.pull("pca@1.0.0") == b"one"
    assert scene.store.pull("pca") == b"two"


@SCENARIOS.append
def the_patch_is_derived_from_the_declared_version_not_from_the_newest(scene: Scene) -> None:
    scene.numbered("pca")
    assert save(scene, b"other", "baa") == ("2.0.1", True)
    assert save(scene, b"other", "aba") == ("1.1.1", True)
    assert scene.store.show("pca").version == "1.1.1"


@SCENARIOS.append
def the_same_bytes_again_make_nothing_new(scene: Scene) -> None:
    assert save(scene, b"one") == ("1.0.0", True)
    assert save(scene, b"two") == ("1.0.1", True)
    assert save(scene, b"three") == ("1.0.2", True)
    rows = scene.rows()
    assert save(scene, b"one") == ("1.0.0", False)
    assert save(scene, b"two") == ("1.0.1", False)
    assert save(scene, b"three") == ("1.0.2", False)
    assert {**scene.rows(), "upload": 0} == {**rows, "upload": 0}


@SCENARIOS.append
def an_unknown_version_is_stored_and_a_registered_one_gets_its_bytes(scene: Scene) -> None:
    assert save(scene, b"one") == ("1.0.0", True)
    scene.store.register("lda", subversions=spelt("aaa"))
    assert save(scene, b"one", op="lda") == ("1.0.0", True)
    assert numbers(scene.store.versions("lda")) == ["1.0.0"]
    assert scene.store.pull("lda") == b"one"


@SCENARIOS.append
def declared_fields_can_be_patched_too(scene: Scene) -> None:
    fields: Fields = {"patch": {"seed": "1"}}
    assert scene.store.push("pca", b"one", fields=fields, otherwise="patch").version == "1.0.0"
    assert scene.store.push("pca", b"two", fields=fields, otherwise="patch").version == "1.0.1"


@SCENARIOS.append
def valid_links_from_and_to_the_old_version_are_recorded_for_the_new_one_in_order(scene: Scene) -> None:
    scene.create("boost", "knn", "lost")
    scene.push("scaler", "aaa")
    scene.push("scaler", "aab")
    scene.push("forest", "aaa")
    scene.push("pca", "aaa")
    scene.store.link("pca@1.0.0", "forest@1.0.0", evidence="report 7")
    scene.store.link("scaler@1.0.1", "pca@1.0.0")
    scene.store.link("pca@1.0.0", "boost@any")
    scene.store.link("scaler@1.0.0", "pca@any")  # for the op: it holds for every version already
    scene.store.link("pca@1.0.0", "knn@any", valid=False)
    scene.store.link("pca@1.0.0", "lost@any")
    scene.store.unlink("pca@1.0.0", "lost@any")
    before = scene.store.links()
    pushed = scene.store.push(
        "pca", b"other", subversions=spelt("aaa"), otherwise="patch", valid_for=["gone@any"], new_ops="major"
    )
    new = [link for link in scene.store.links() if link not in before]
    assert [
        (link.upstream, link.upstream_version, link.downstream, link.downstream_version, link.valid) for link in new
    ] == [
        ("pca", "1.0.1", "gone", None, True),
        ("pca", "1.0.1", "boost", None, True),
        ("scaler", "1.0.1", "pca", "1.0.1", True),
        ("pca", "1.0.1", "forest", "1.0.0", True),
    ]
    assert [link.evidence for link in new] == [None, *["copied from pca@1.0.0"] * 3]
    assert sorted(link.position for link in new) == [*range(pushed.position + 1, pushed.position + 5)]
    assert [link for link in scene.store.links() if link in before] == before
    for upstream, downstream in (("pca", "forest"), ("pca", "boost"), ("scaler@1.0.1", "pca")):
        assert scene.store.validate(upstream, downstream).verdict == "valid"


@SCENARIOS.append
def links_are_copied_once(scene: Scene) -> None:
    scene.create("forest", "boost")
    scene.push("pca", "aaa")
    scene.store.link("pca", "forest@any")
    assert save(scene, b"other") == ("1.0.1", True)
    scene.store.unlink("pca@1.0.1", "forest@any")
    scene.store.link("pca@1.0.0", "boost@any")
    rows = scene.rows()
    assert save(scene, b"other") == ("1.0.1", False)
    assert {**scene.rows(), "upload": 0} == {**rows, "upload": 0}
    assert [link.upstream_version for link in scene.store.links()] == ["1.0.0", "1.0.0"]


@SCENARIOS.append
def a_patch_that_is_refused_leaves_nothing(scene: Scene) -> None:
    scene.create("forest")
    scene.push("pca", "aaa")
    scene.store.link("pca", "forest@any")
    patch = sha256(f"{spelt('aaa')}\nsha256:" + sha256(b"other"))
    scene.store.push("pca", b"somebody's", subversions=f"aaaa.aaaa.{patch}")
    before = scene.has()
    with pytest.raises(errors.VersionConflict) as taken:
        save(scene, b"other")
    assert taken.value.details["version"] == "1.0.1"
    with pytest.raises(errors.OpNotFound):
        scene.store.push("pca", b"new", subversions=spelt("aaa"), otherwise="patch", valid_with=["nobody"])
    with pytest.raises(errors.InvalidRequest, match="otherwise is for a push with fields or subversions"):
        scene.store.push("pca", b"new", otherwise="patch")
    with pytest.raises(errors.InvalidRequest, match="otherwise is for a push with fields or subversions"):
        scene.store.push("pca", b"new", bump="minor", otherwise="patch")
    assert scene.has() == before
