"""Removals: a removed version exists in past states only, and its number never comes back."""

from collections.abc import Callable

import pytest

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.records import Lock, LockedVersion, OpVersion
from tests.scenarios.scene import Scenario, Scene, numbers, spelt
from tests.support.new_run import new_run

SCENARIOS: list[Scenario] = []


def _linked(scene: Scene) -> None:
    """Push two versions of pca, of which the first is valid for forest 1.0.0."""
    scene.store.push("pca", b"one")
    scene.store.push("pca", b"two")
    scene.store.push("forest", b"trees", valid_with=["pca@1.0.0"])


def _texts(versions: tuple[OpVersion, ...]) -> list[str]:
    return [str(version) for version in versions]


@SCENARIOS.append
def a_removed_version_is_in_no_answer(scene: Scene) -> None:
    store = scene.store
    store.push("pca", b"one", message="the first")
    gone = store.push("pca", b"two", message="the second", labels={"stage": "test"})
    removed = store.remove("pca@1.0.1", reason="wrong columns")
    assert (_texts(removed.removed), removed.ops, removed.broken, removed.dry_run) == (["pca@1.0.1"], (), (), False)
    assert removed.freeable == 3
    assert (numbers(store.versions("pca")), store.op("pca").versions, store.op("pca").latest) == (["1.0.0"], 1, "1.0.0")
    assert numbers(store.versions("pca", label=["stage"])) == []
    assert store.ops(label=["stage"]) == []
    for reference in ("pca", "pca@1", "pca@1.0", "pca@>=1.0.0"):
        assert store.show(reference).version == "1.0.0"
    exact = (f"pca@{gone.version}", f"pca@{gone.digest}", f"pca@{gone.subversions}", f"pca@{str(gone.digest)[7:17]}")
    for reference in exact:
        for verb in (store.show, store.pull, store.details, store.unyank):
            with pytest.raises(errors.VersionRemoved) as refused:
                verb(reference)
            assert "pca@1.0.1 was removed at " in refused.value.text
            assert refused.value.text.endswith(": wrong columns")
            assert refused.value.details["before"] == str(gone.position)
    with pytest.raises(errors.VersionNotFound):
        store.show("pca@>=1.0.1")


@SCENARIOS.append
def past_states_have_the_version_as_it_was(scene: Scene) -> None:
    _linked(scene)
    store = scene.store
    before = store.tag("pca@1.0.0", "best")[0].position
    state = (
        store.show("pca@1.0.0", as_of=str(before)),
        store.versions("pca", as_of=str(before)),
        store.links(as_of=str(before)),
        store.tags(as_of=str(before)),
        store.validate("pca@1.0.0", "forest", as_of=str(before)),
        store.details("pca@best", as_of=str(before)),
    )
    store.remove("pca@1.0.0", force=True)
    assert state == (
        store.show("pca@1.0.0", as_of=str(before)),
        store.versions("pca", as_of=str(before)),
        store.links(as_of=str(before)),
        store.tags(as_of=str(before)),
        store.validate("pca@1.0.0", "forest", as_of=str(before)),
        store.details("pca@best", as_of=str(before)),
    )
    now = str(store.log(limit=1)[0].position)
    for as_of in (now, None):
        with pytest.raises(errors.VersionRemoved):
            store.show("pca@1.0.0", as_of=as_of)
        assert (numbers(store.versions("pca", as_of=as_of)), store.links(as_of=as_of)) == (["1.0.1"], [])
        assert store.tags(as_of=as_of) == []


@SCENARIOS.append
def what_needs_a_version_keeps_it(scene: Scene) -> None:
    _linked(scene)
    store = scene.store
    store.push("svm", b"vectors")
    store.link("pca@1.0.0", "svm@any")
    store.tag("pca@1.0.0", "best")
    store.register_pipeline("churn", ["pca", "forest"])
    before = scene.rows()
    with pytest.raises(errors.StillNeeded) as refused:
        store.remove("pca@1.0.0")
    assert scene.rows() == before
    assert [(need["kind"], need["version"], need["what"]) for need in refused.value.details["needs"]] == [
        ("link", "pca@1.0.0", "forest@1.0.0"),
        ("link", "pca@1.0.0", "any version of svm"),
        ("tag", "pca@1.0.0", "best"),
        ("pipeline", "pca@1.0.0", "churn"),
    ]
    assert refused.value.details["count"] == 4
    words = (
        "pca@1.0.0 is valid for forest@1.0.0; pca@1.0.0 is valid for any version of svm; the tag best is on pca@1.0.0"
    )
    assert refused.value.text == f"still needed, so nothing was removed: {words}; and 1 more"
    with pytest.raises(errors.StillNeeded) as downstream:
        store.remove("forest@1.0.0")
    assert [need["kind"] for need in downstream.value.details["needs"]] == ["link", "pipeline"]
    store.remove("pca@1.0.1")
    tried = store.remove("pca@1.0.0", dry_run=True)
    assert (tried.dry_run, tried.position, tried.broken_count, _texts(tried.removed)) == (True, None, 4, ["pca@1.0.0"])
    assert store.show("pca").version == "1.0.0"
    done = store.remove("pca@1.0.0", force=True)
    assert (done.broken, done.broken_count) == (tried.broken, 4)
    assert (store.links(), store.tags()) == ([], [])
    assert [link.state for link in store.links(history=True)] == ["revoked", "revoked", "valid", "valid"]
    assert [tag.version for tag in store.tags("pca", history=True)] == [None, "1.0.0"]


@SCENARIOS.append
def what_is_removed_together_needs_nothing_of_each_other(scene: Scene) -> None:
    _linked(scene)
    removed = scene.store.remove(["pca@1.0.0", "forest@1.0.0", "forest@latest"])
    assert (_texts(removed.removed), removed.broken_count, removed.freeable) == (["pca@1.0.0", "forest@1.0.0"], 0, 8)
    assert scene.store.links() == []


@SCENARIOS.append
def an_invalid_link_needs_nothing_and_is_revoked(scene: Scene) -> None:
    _linked(scene)
    scene.store.link("pca@1.0.1", "forest", valid=False)
    assert scene.store.remove("pca@1.0.1").broken_count == 0
    assert [link.upstream_version for link in scene.store.links()] == ["1.0.0"]


@SCENARIOS.append
def a_refused_reference_removes_nothing_of_the_others(scene: Scene) -> None:
    _linked(scene)
    before = scene.rows()
    for wanted, error in (
        (["pca@1.0.1", "pca@9.9.9"], errors.VersionNotFound),
        (["pca@1.0.1", "gone"], errors.OpNotFound),
        (["pca@1.0.1", "pca@1.0.0"], errors.StillNeeded),
        (["pca@1.0.1", "pca"], errors.OpHasVersions),
        (["pca@any"], errors.InvalidReference),
        ([], errors.InvalidRequest),
    ):
        with pytest.raises(error):
            scene.store.remove(wanted)
    with pytest.raises(errors.InvalidRequest, match="give its name, pca"):
        scene.store.remove("pca@1.0.0", all_versions=True)
    assert scene.rows() == before


@SCENARIOS.append
def a_version_is_removed_once(scene: Scene) -> None:
    _linked(scene)
    scene.store.remove("pca@1.0.1")
    with pytest.raises(errors.VersionRemoved):
        scene.store.remove("pca@1.0.1")


@SCENARIOS.append
def bytes_that_another_version_has_are_not_freeable(scene: Scene) -> None:
    scene.store.push("pca", b"same")
    scene.store.push("encoder", b"same")
    scene.store.push("pca", b"other")
    assert scene.store.remove(["pca@1.0.0", "pca@1.0.1"], dry_run=True).freeable == 5
    assert scene.store.remove(["pca@1.0.0", "encoder@1.0.0"], dry_run=True).freeable == 4


@SCENARIOS.append
def numbers_and_sequences_never_come_back(scene: Scene) -> None:
    store = scene.store
    first = store.push("pca", b"one")
    second = store.push("pca", b"two", bump="major")
    store.remove("pca@2.0.0")
    third = store.push("pca", b"three", bump="major")
    assert (first.version, second.version, third.version, third.sequence) == ("1.0.0", "2.0.0", "3.0.0", 3)
    store.remove(["pca@1.0.0", "pca@3.0.0"])
    assert (store.op("pca").versions, store.op("pca").latest) == (0, None)
    for reference in ("pca", "pca@latest"):
        with pytest.raises(errors.VersionNotFound, match="every version of pca was removed"):
            store.show(reference)
    fourth = store.push("pca", b"four")
    assert (fourth.version, fourth.sequence) == ("1.0.1", 4)


@SCENARIOS.append
def removed_bytes_that_are_pushed_again_make_a_new_number(scene: Scene) -> None:
    store = scene.store
    store.push("pca", b"one")
    for number in ("1.0.1", "1.0.2", "1.0.3"):
        pushed = store.push("pca", b"two")
        assert (pushed.version, pushed.created) == (number, True)
        assert store.pull("pca") == b"two"
        store.remove(f"pca@{number}")
    assert [store.push("pca", b"three", bump="minor").version, store.push("pca", b"one").version] == ["1.1.0", "1.1.1"]
    store.remove(["pca@1.0.0", "pca@1.1.0", "pca@1.1.1"])
    assert store.push("pca", b"one").version == "1.0.4"


@SCENARIOS.append
def bytes_of_a_removed_version_that_was_yanked_are_not_refused(scene: Scene) -> None:
    scene.store.push("pca", b"one")
    scene.store.push("pca", b"two")
    scene.store.yank("pca@1.0.1", "broken")
    scene.store.remove("pca@1.0.1")
    assert scene.store.push("pca", b"two").version == "1.0.2"


@SCENARIOS.append
def declared_subversions_of_a_removed_version_are_refused(scene: Scene) -> None:
    store = scene.store
    pushed = store.push("pca", b"one", subversions=spelt("aaa"))
    fields = store.push("pca", b"two", fields={"major": {"whiten": "true"}})
    registered = store.register("pca", subversions=spelt("bbb"))
    store.remove([f"pca@{each.version}" for each in (pushed, fields, registered)])
    before = scene.rows()
    refused: list[Callable[[], object]] = [
        lambda: store.push("pca", b"one", subversions=spelt("aaa")),
        lambda: store.push("pca", b"other", subversions=spelt("aaa")),
        lambda: store.push("pca", b"one", subversions=spelt("aaa"), new=True),
        lambda: store.push("pca", b"two", fields={"major": {"whiten": "true"}}),
        lambda: store.register("pca", subversions=spelt("bbb")),
        lambda: store.push("pca", b"three", subversions=spelt("bbb")),
    ]
    for push in refused:
        with pytest.raises(errors.SubversionsRemoved, match=r"had the subversions .*, and was removed at "):
            push()
    assert scene.rows() == before
    patched = store.push("pca", b"other", subversions=spelt("aaa"), otherwise="patch")
    assert (patched.version, patched.created) == ("1.0.1", True)
    store.remove("pca@1.0.1")
    assert store.push("pca", b"other", subversions=spelt("aaa"), otherwise="patch").version == "1.0.2"


@SCENARIOS.append
def an_op_without_versions_is_removed_by_its_name(scene: Scene) -> None:
    store = scene.store
    store.push("pca", b"one")
    store.register_pipeline("churn", ["pca", "forset"])
    with pytest.raises(errors.OpInPipeline, match="forset is an op of the pipeline churn"):
        store.remove("forset", force=True)
    store.remove_pipeline("churn")
    before = store.log(limit=1)[0].position
    store.set_op("forset", description="a typo")
    store.link("pca@1.0.0", "forset@any")
    with pytest.raises(errors.StillNeeded, match="is valid for any version of forset"):
        store.remove("forset")
    store.unlink("pca@1.0.0", "forset@any")
    removed = store.remove("forset", reason="a typo")
    assert (removed.removed, removed.ops) == ((), ("forset",))
    assert [op.name for op in store.ops()] == ["pca"]
    for verb in (store.op, store.show, store.versions, store.links, store.tags):
        with pytest.raises(errors.OpNotFound) as refused:
            verb("forset")
    assert "there is no op forset: it was removed at " in refused.value.text
    with pytest.raises(errors.OpNotFound):
        store.remove("forset")
    with pytest.raises(errors.OpNotFound) as similar:
        store.show("forse")
    assert similar.value.details.get("similar") is None
    assert store.versions("forset", as_of=str(before)).versions == ()
    assert [entry.action for entry in store.log("forset")][:2] == ["op removed", "revoked for"]


@SCENARIOS.append
def an_op_is_removed_with_all_its_versions(scene: Scene) -> None:
    _linked(scene)
    store = scene.store
    store.register_pipeline("churn", ["pca", "forest"])
    with pytest.raises(errors.OpInPipeline):
        store.remove("pca", all_versions=True, force=True)
    store.remove_pipeline("churn")
    with pytest.raises(errors.StillNeeded):
        store.remove("pca", all_versions=True)
    removed = store.remove("pca", all_versions=True, force=True)
    assert (_texts(removed.removed), removed.ops) == (["pca@1.0.1", "pca@1.0.0"], ("pca",))
    assert (removed.freeable, removed.broken_count) == (6, 1)
    assert [op.name for op in store.ops()] == ["forest"]
    assert store.links() == []


@SCENARIOS.append
def a_push_creates_a_removed_op_again(scene: Scene) -> None:
    store = scene.store
    store.push("pca", b"one", new_ops="major")
    store.set_op("pca", description="50 components")
    before = store.log(limit=1)[0].position
    store.remove("pca", all_versions=True)
    pushed = store.push("pca", b"two")
    assert (pushed.version, pushed.sequence) == ("1.0.1", 2)
    found = store.op("pca")
    assert (found.versions, found.latest, found.compat, found.description) == (1, "1.0.1", "exact", None)
    assert [entry.action for entry in store.log("pca", limit=5)] == [
        "stored",
        "level",
        "op created again",
        "op removed",
        "removed",
    ]
    store.push("forest", b"trees", valid_with=["pca@1.0.1"])
    store.push("pca", b"three")
    assert store.validate("pca", "forest").verdict == "invalid", "the level is the one it was created with again"
    assert numbers(store.versions("pca", as_of=str(before))) == ["1.0.0"]
    store.remove("pca", all_versions=True, force=True)
    assert store.register_pipeline("churn", ["pca", "forest"]).created_ops == ("pca",)
    assert store.op("pca").versions == 0


@SCENARIOS.append
def a_resolution_moves_to_the_next_version(scene: Scene) -> None:
    store = scene.store
    for data in (b"one", b"two"):
        store.push("pca", data)
    store.push("forest", b"trees", valid_with=["pca@1.0.0", "pca@1.0.1"])
    store.register_pipeline("churn", ["pca", "forest"])
    first = store.resolve("churn")
    store.remove("pca@1.0.1", force=True)
    assert [each.version for each in first] == ["1.0.1", "1.0.0"]
    assert [each.version for each in store.resolve("churn")] == ["1.0.0", "1.0.0"]
    assert store.resolve("churn", as_of=str(first.position)).versions == first.versions
    changes = [(each.action, each.op, each.version) for each in store.set_history("churn").changes]
    assert changes[-1] == ("removed", "pca", "1.0.0")


@SCENARIOS.append
def a_lock_with_a_removed_version_does_not_hold(scene: Scene) -> None:
    _linked(scene)
    store = scene.store
    store.register_pipeline("churn", ["pca", "forest"])
    locked = [store.show("pca@1.0.0"), store.show("forest")]
    lock = Lock(
        edges=(("pca", "forest"),),
        versions=tuple(
            LockedVersion(op=each.op, subversions=each.subversions, digest=each.digest, size=each.size)
            for each in locked
        ),
    )
    assert store.check_lock("churn", lock).holds
    store.remove("pca@1.0.0", force=True, reason="leaks")
    checked = store.check_lock("churn", lock)
    assert (checked.holds, len(checked.findings)) == (False, 1)
    assert checked.findings[0].startswith("pca@1.0.0 was removed at ")
    for refused in (lambda: store.tag(lock, "live"), lambda: store.resolve("churn", lock=lock, upgrade="pca")):
        with pytest.raises(errors.VersionRemoved):
            refused()


@SCENARIOS.append
def registered_versions_count_again_if_no_stored_one_is_left(scene: Scene) -> None:
    store = scene.store
    store.register_pipeline("only", ["pca"])
    store.register("pca", subversions=spelt("aaa"))
    store.push("pca", b"two", subversions=spelt("aab"))
    store.register("pca", subversions=spelt("aac"))
    assert store.show("pca").version == "1.0.1"
    store.remove("pca@1.0.1", force=True)
    assert (store.show("pca").version, store.op("pca").latest) == ("1.0.2", "1.0.2")
    assert [each.version for each in store.resolve("only")] == ["1.0.2"]
    assert [each.version for each in store.set_history("only").changes] == ["1.0.0", "1.0.1", "1.0.2"]


@SCENARIOS.append
def runs_with_a_removed_version_stay(scene: Scene) -> None:
    _linked(scene)
    store = scene.store
    store.register_pipeline("churn", ["pca", "forest"])
    run = store.record_run("churn", new_run("pca@1.0.0", "forest@1.0.0")).run
    store.remove("pca@1.0.0", force=True)
    assert store.run(run.position) == run
    assert store.runs("churn") == [run] == store.runs(version="pca@1.0.0")
    store.tag("pca@1.0.1", "best")
    store.remove_pipeline("churn")
    store.remove("pca", all_versions=True, force=True)
    assert store.runs("churn") == [run] == store.runs(version="pca@1.0.0")
    assert [tag.version for tag in store.tags("pca", history=True)] == [None, "1.0.1"]
    assert {link.state for link in store.links("pca", history=True)} == {"revoked", "valid"}
    store.register_pipeline("churn", ["pca", "forest"])
    with pytest.raises(errors.VersionRemoved):
        store.record_run("churn", new_run("pca@1.0.0", "forest@1.0.0"))
