"""Resolutions, locks and affected ops (docs/rules.md)."""

import msgspec
import pytest

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.records import Lock, LockedVersion, Resolution
from tests.scenarios.scene import Scenario, Scene

SCENARIOS: list[Scenario] = []


def chosen(found: Resolution) -> dict[str, str]:
    return {version.op: version.version for version in found.versions}


def replaced(lock: Lock, op: str, **changed: object) -> Lock:
    """Return the lock with the version of the op changed."""
    versions = [msgspec.structs.replace(each, **changed) if each.op == op else each for each in lock.versions]
    return Lock(edges=lock.edges, versions=tuple(versions))


def generations(scene: Scene) -> None:
    """Push a chain of three ops, each trained on the one before, and then a newer scaler that is valid for none."""
    scene.store.register_pipeline("churn", ["scaler", "pca", "forest"], new_ops="major")
    scene.store.push("scaler", b"scaler 1")
    scene.store.push("pca", b"pca 1", valid_with=["scaler"])
    scene.store.push("forest", b"forest 1", valid_with=["pca"])


@SCENARIOS.append
def the_resolution_is_the_newest_set_that_is_valid_together(scene: Scene) -> None:
    generations(scene)
    found = scene.store.resolve("churn")
    assert (found.pipeline, found.verdict, found.skipped, found.conflict) == ("churn", "valid", (), ())
    assert chosen(found) == {"scaler": "1.0.0", "pca": "1.0.0", "forest": "1.0.0"}
    assert [version.op for version in found.versions] == ["scaler", "pca", "forest"]
    assert found.edges == (("pca", "forest"), ("scaler", "pca"))


@SCENARIOS.append
def newer_versions_that_are_skipped_are_named_with_the_reason(scene: Scene) -> None:
    generations(scene)
    scene.store.push("pca", b"pca 2", bump="major", valid_with=["scaler"])
    scene.store.push("scaler", b"scaler 2", bump="major")
    found = scene.store.resolve("churn")
    assert chosen(found) == {"scaler": "1.0.0", "pca": "1.0.0", "forest": "1.0.0"}
    assert [(skipped.op, skipped.version, skipped.reason) for skipped in found.skipped] == [
        (
            "scaler",
            "2.0.0",
            "scaler 2.0.0 is not validated for pca 1.0.0; last validated: 1.0.0 for pca 2.0.0",
        ),
        (
            "pca",
            "2.0.0",
            "pca 2.0.0 is not validated for forest 1.0.0; last validated: 1.0.0 for forest 1.0.0",
        ),
    ]


@SCENARIOS.append
def the_downstream_end_is_as_new_as_it_can_be(scene: Scene) -> None:
    generations(scene)
    scene.store.push("pca", b"pca 2", bump="major", valid_with=["scaler"])
    scene.store.push("forest", b"forest 2", bump="major", valid_with=["pca@1.0.0"])
    assert chosen(scene.store.resolve("churn")) == {"scaler": "1.0.0", "pca": "1.0.0", "forest": "2.0.0"}


@SCENARIOS.append
def without_a_valid_set_the_smallest_conflict_is_reported(scene: Scene) -> None:
    generations(scene)
    scene.store.link("pca@1.0.0", "forest@1.0.0", valid=False)
    scene.store.push("pca", b"pca 2", bump="major", valid_with=["scaler"], valid_for=["forest@1.0.0"])
    scene.store.link("scaler@1.0.0", "pca@2.0.0", valid=False)
    found = scene.store.resolve("churn")
    assert (found.verdict, found.versions) == ("invalid", ())
    assert [(edge.upstream.op, edge.downstream.op, edge.verdict) for edge in found.conflict] == [
        ("pca", "forest", "valid"),
        ("scaler", "pca", "invalid"),
    ]
    assert found.conflict[0].reason.endswith("but no valid pair of versions fits the other edges")


@SCENARIOS.append
def without_a_valid_set_the_verdict_is_unknown_if_only_links_are_missing(scene: Scene) -> None:
    scene.store.push("pca", b"one")
    scene.store.push("forest", b"one")
    scene.store.register_pipeline("pair", ["pca", "forest"])
    found = scene.store.resolve("pair")
    assert (found.verdict, found.versions) == ("unknown", ())
    scene.store.link("pca@1.0.0", "forest@any", valid=False)
    assert scene.store.resolve("pair").verdict == "invalid"


@SCENARIOS.append
def an_op_without_versions_has_no_valid_set(scene: Scene) -> None:
    scene.store.push("pca", b"one", valid_for=["forest@any"], new_ops="major")
    scene.store.register_pipeline("pair", ["pca", "forest"])
    found = scene.store.resolve("pair")
    assert (found.verdict, found.versions, found.conflict) == ("invalid", (), ())
    assert [skipped.reason for skipped in found.skipped] == ["forest has no version to choose"]


@SCENARIOS.append
def use_makes_a_version_the_newest_candidate_of_its_op(scene: Scene) -> None:
    generations(scene)
    scene.store.push("pca", b"pca 2", valid_with=["scaler"])
    assert chosen(scene.store.resolve("churn"))["pca"] == "1.0.1"
    assert chosen(scene.store.resolve("churn", use=["pca@1.0.0"]))["pca"] == "1.0.0"
    scene.store.yank("pca@1.0.1", "broken")
    assert chosen(scene.store.resolve("churn"))["pca"] == "1.0.0"
    assert chosen(scene.store.resolve("churn", use=["pca@1.0.1"]))["pca"] == "1.0.1"
    with pytest.raises(errors.InvalidRequest):
        scene.store.resolve("churn", use=["nobody"])


@SCENARIOS.append
def candidates_older_than_a_used_version_stay(scene: Scene) -> None:
    generations(scene)
    scene.store.push("scaler", b"scaler 2", bump="major")
    scene.store.push("scaler", b"scaler 3", bump="major")
    found = scene.store.resolve("churn", use=["scaler@2.0.0"])
    assert chosen(found)["scaler"] == "1.0.0"
    assert [(skipped.op, skipped.version) for skipped in found.skipped] == [("scaler", "2.0.0")]


@SCENARIOS.append
def an_upgrade_moves_one_op_and_only_what_must_move_with_it(scene: Scene) -> None:
    generations(scene)
    locked = scene.store.resolve("churn").lock()
    scene.store.push("scaler", b"scaler 2")  # compatible: it could move but need not
    scene.store.push("pca", b"pca 2", bump="major", valid_with=["scaler@1.0.0"])
    scene.store.push("forest", b"forest 2", bump="major", valid_with=["pca@2.0.0"])
    found = scene.store.resolve("churn", lock=locked, upgrade="pca")
    assert chosen(found) == {"scaler": "1.0.0", "pca": "2.0.0", "forest": "2.0.0"}
    assert chosen(scene.store.resolve("churn", lock=locked, upgrade="scaler")) == {
        "scaler": "1.0.1",
        "pca": "1.0.0",
        "forest": "1.0.0",
    }
    with pytest.raises(errors.InvalidRequest):
        scene.store.resolve("churn", lock=locked)
    with pytest.raises(errors.InvalidRequest):
        scene.store.resolve("churn", upgrade="pca")


@SCENARIOS.append
def an_upgrade_may_keep_a_locked_version_that_is_yanked(scene: Scene) -> None:
    generations(scene)
    locked = scene.store.resolve("churn").lock()
    scene.store.push("scaler", b"scaler 2")
    scene.store.yank("pca@1.0.0", "slow")
    assert scene.store.resolve("churn").versions == ()
    found = scene.store.resolve("churn", lock=locked, upgrade="scaler")
    assert chosen(found) == {"scaler": "1.0.1", "pca": "1.0.0", "forest": "1.0.0"}
    assert "pca@1.0.0 is yanked: slow" in [str(picked) for picked in found.picked_yanked]


@SCENARIOS.append
def a_lock_holds_until_an_edge_a_version_or_a_verdict_changes(scene: Scene) -> None:
    generations(scene)
    lock = scene.store.resolve("churn").lock()
    assert scene.store.check_lock("churn", lock).holds
    scene.store.push("pca", b"pca 2", bump="major")
    assert scene.store.check_lock("churn", lock).holds, "a newer version does not break a lock"
    scene.store.yank("pca@1.0.0", "broken")
    assert scene.store.check_lock("churn", lock).findings == ("pca@1.0.0 is yanked: broken",)
    scene.store.unyank("pca@1.0.0")
    scene.store.unlink("scaler@1.0.0", "pca@1.0.0")
    assert scene.store.check_lock("churn", lock).findings == (
        "scaler -> pca is unknown: no link says whether scaler 1.0.0 is valid for pca 1.0.0",
    )
    scene.store.link("scaler@1.0.0", "pca@any")
    scene.store.remove_pipeline("churn")
    scene.store.register_pipeline("churn", ["scaler", "pca"])
    assert scene.store.check_lock("churn", lock).findings == ("the ops or edges of the pipeline churn have changed",)


@SCENARIOS.append
def a_lock_of_another_store_does_not_hold(scene: Scene) -> None:
    generations(scene)
    lock = scene.store.resolve("churn").lock()
    stranger = replaced(lock, "pca", subversions="aaaa.bbbb.cccc")
    assert scene.store.check_lock("churn", stranger).findings == (
        "pca has no version with the subversions aaaa.bbbb.cccc",
    )
    for refused in (
        lambda: scene.store.tag(stranger, "production"),
        lambda: scene.store.resolve("churn", lock=stranger, upgrade="scaler"),
    ):
        with pytest.raises(errors.VersionNotFound):
            refused()
    assert scene.store.tags() == []


@SCENARIOS.append
def every_use_of_a_lock_refuses_other_bytes_and_changes_nothing(scene: Scene) -> None:
    generations(scene)
    lock = scene.store.resolve("churn").lock()
    before = scene.rows()
    for changed in (
        replaced(lock, "pca", digest="sha256:" + "0" * 64),
        replaced(lock, "pca", size=1000),
        replaced(lock, "scaler", digest=lock.versions[1].digest, size=lock.versions[1].size),
    ):
        for use in (
            lambda lock: scene.store.check_lock("churn", lock),
            lambda lock: scene.store.tag(lock, "production"),
            lambda lock: scene.store.resolve("churn", lock=lock, upgrade="pca"),
            lambda lock: scene.store.resolve("churn", lock=lock, upgrade="forest"),
        ):
            with pytest.raises(errors.LockConflict) as caught:
                use(changed)
            assert "has other bytes in this store than in the lock: sha256:" in str(caught.value)
    assert scene.rows() == before
    scene.store.register("pca", subversions="aaaa.bbbb.cccc")
    pinned = replaced(lock, "pca", subversions="aaaa.bbbb.cccc")
    with pytest.raises(errors.LockConflict, match=r"pca@2\.0\.0 has other bytes .*: none, not sha256:"):
        scene.store.tag(pinned, "production")


@SCENARIOS.append
def a_lock_that_is_not_whole_is_refused(scene: Scene) -> None:
    generations(scene)
    lock = scene.store.resolve("churn").lock()
    scaler, pca, forest = lock.versions
    for broken, reason in (
        (Lock(edges=lock.edges, versions=(scaler, pca, pca, forest)), "it has two versions of pca"),
        (Lock(edges=lock.edges, versions=(scaler, pca)), "it has the edge pca -> forest, but no version of forest"),
        (Lock(edges=(*lock.edges, lock.edges[0]), versions=lock.versions), "it has the edge pca -> forest twice"),
        (Lock(edges=(("pca", "pca"),), versions=(pca,)), "it has an edge from pca to itself"),
        (Lock(edges=(*lock.edges, ("forest", "scaler")), versions=lock.versions), "its edges form a cycle: "),
        (replaced(lock, "pca", digest=None), "the version of pca has a size but no digest"),
    ):
        for use in (
            lambda lock: scene.store.check_lock("churn", lock),
            lambda lock: scene.store.tag(lock, "production"),
            lambda lock: scene.store.resolve("churn", lock=lock, upgrade="pca"),
        ):
            with pytest.raises(errors.InvalidRequest, match=f"the lock is not valid: {reason}"):
                use(broken)
    assert scene.store.tags() == []


@SCENARIOS.append
def subversions_of_decimal_digits_are_never_read_as_a_version_number(scene: Scene) -> None:
    store = scene.store
    for data in (b"first", b"second"):  # 1.0.0 and 1.0.1
        store.push("scaler", data)
    dated = store.push("scaler", b"dated", subversions="2026.1129.1530")
    store.push("pca", b"pca", subversions="1111.2222.3333", valid_with=["scaler@2026.1129.1530_"])
    store.register_pipeline("churn", ["scaler", "pca"])
    lock = store.resolve("churn").lock()
    assert [each.subversions for each in lock.versions] == ["2026.1129.1530", "1111.2222.3333"]
    check = store.check_lock("churn", lock)
    assert (check.holds, [(each.op, each.version) for each in check.versions]) == (
        True,
        [("scaler", dated.version), ("pca", "1.0.0")],
    )
    assert [(each.op, each.version) for each in store.tag(lock, "production")] == [
        ("scaler", dated.version),
        ("pca", "1.0.0"),
    ]
    assert chosen(store.resolve("churn", lock=lock, upgrade="pca")) == {"scaler": dated.version, "pca": "1.0.0"}


@SCENARIOS.append
def a_lock_is_not_too_large_for_the_head_of_a_request(scene: Scene) -> None:
    generations(scene)
    lock = scene.store.resolve("churn").lock()
    strangers = tuple(LockedVersion(op=f"op{number}", subversions=".".join(["a" * 64] * 3)) for number in range(300))
    large = Lock(edges=lock.edges, versions=(*lock.versions, *strangers))
    with pytest.raises(errors.InvalidRequest, match="the pipeline churn has no op op0"):
        scene.store.resolve("churn", lock=large, upgrade="pca")
    assert scene.store.check_lock("churn", large).findings[0] == "the ops or edges of the pipeline churn have changed"


@SCENARIOS.append
def a_lock_tags_a_yanked_version_and_names_it(scene: Scene) -> None:
    generations(scene)
    lock = scene.store.resolve("churn").lock()
    scene.store.yank("pca@1.0.0", "broken")
    assert [each.op for each in scene.store.tag(lock, "production")] == ["scaler", "pca", "forest"]


@SCENARIOS.append
def a_pipeline_of_one_op_has_a_lock(scene: Scene) -> None:
    scene.store.push("pca", b"one")
    scene.store.register_pipeline("single", ["pca"])
    lock = scene.store.resolve("single").lock()
    assert (lock.edges, len(lock.versions)) == ((), 1)
    assert scene.store.check_lock("single", lock).holds
    scene.store.push("pca", b"two")
    assert chosen(scene.store.resolve("single", lock=lock, upgrade="pca")) == {"pca": "1.0.1"}


@SCENARIOS.append
def the_affected_ops_are_the_downstream_ops_to_retrain(scene: Scene) -> None:
    generations(scene)
    assert scene.store.affected("scaler").affected == ()
    scene.store.push("scaler", b"scaler 2", bump="major")
    found = scene.store.affected("scaler")
    assert (found.version.op, found.version.version) == ("scaler", "2.0.0")
    assert [(each.op, each.version, each.verdict) for each in found.affected] == [
        ("pca", "1.0.0", "invalid"),
        ("forest", "1.0.0", "unknown"),
    ]
    assert scene.store.affected("scaler@1.0.0").affected == ()
    scene.store.register_pipeline("other", ["scaler", "report"])
    assert [each.op for each in scene.store.affected("scaler").affected] == ["pca", "report", "forest"]
    assert [each.op for each in scene.store.affected("scaler", pipeline="other").affected] == ["report"]
    with pytest.raises(errors.VersionNotFound):
        scene.store.affected("report")


@SCENARIOS.append
def a_resolution_can_be_read_as_of_a_position(scene: Scene) -> None:
    generations(scene)
    before = scene.store.resolve("churn")
    scene.store.unlink("scaler@1.0.0", "pca@1.0.0")
    assert scene.store.resolve("churn").verdict == "unknown"
    assert scene.store.resolve("churn", as_of=str(before.position)) == before
    assert scene.store.validate_pipeline("churn", as_of=str(before.position)).verdict == "valid"
    with pytest.raises(errors.InvalidRequest):
        scene.store.resolve("churn", as_of="999999")
    with pytest.raises(errors.InvalidRequest):
        scene.store.validate_pipeline("churn", as_of="someday")


@SCENARIOS.append
def a_push_and_its_links_are_visible_at_the_same_position(scene: Scene) -> None:
    scene.store.push("pca", b"one")
    pushed = scene.store.push("forest", b"one", valid_with=["pca"], tags=["dev"])
    assert scene.store.validate("pca", "forest", as_of=str(pushed.position)).verdict == "valid"
    assert scene.store.show("forest", as_of=str(pushed.position)).tags == ("dev",)
