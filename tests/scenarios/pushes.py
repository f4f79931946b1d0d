"""Which version a push makes (docs/rules.md)."""

import io
from datetime import UTC, datetime

import pytest

from opstore_daemon.protocol import errors
from tests.scenarios.scene import Scenario, Scene, numbers, sha256, spelt

SCENARIOS: list[Scenario] = []
NOTHING = sha256("")


@SCENARIOS.append
def the_first_push_of_an_op_is_1_0_0(scene: Scene) -> None:
    before = datetime.now(UTC)
    pushed = scene.store.push("pca", b"model")
    assert (pushed.op, pushed.version, pushed.sequence, pushed.created) == ("pca", "1.0.0", 1, True)
    assert (pushed.digest, pushed.size) == ("sha256:" + sha256(b"model"), 5)
    assert (pushed.labels, pushed.tags, pushed.yanked, pushed.message) == ({}, (), False, None)
    assert before <= pushed.registered_at <= datetime.now(UTC)
    assert scene.store.pull("pca") == b"model"
    shown = scene.store.show("pca@1.0.0")
    assert all(getattr(shown, key) == getattr(pushed, key) for key in shown.__struct_fields__)


@SCENARIOS.append
def a_push_bumps_the_patch_by_default(scene: Scene) -> None:
    assert [scene.store.push("pca", b"%d" % n).version for n in range(3)] == ["1.0.0", "1.0.1", "1.0.2"]


@SCENARIOS.append
def each_level_bumps_its_number_and_resets_those_below(scene: Scene) -> None:
    def push(data: bytes, level: str) -> str:
        return scene.store.push("pca", data, bump=level).version  # type: ignore[arg-type]

    assert push(b"1", "major") == "1.0.0"
    assert push(b"2", "minor") == "1.1.0"
    assert push(b"3", "patch") == "1.1.1"
    assert push(b"4", "major") == "2.0.0"
    assert push(b"5", "patch") == "2.0.1"
    assert push(b"6", "minor") == "2.1.0"
    assert push(b"7", "minor") == "2.2.0"


@SCENARIOS.append
def a_bump_hashes_the_text_of_its_base_and_the_digest(scene: Scene) -> None:
    first = scene.store.push("pca", b"1")
    assert first.subversions == f"{NOTHING}.{NOTHING}." + sha256("\nsha256:" + sha256(b"1"))
    second = scene.store.push("pca", b"2", bump="minor")
    minor = sha256(f"{first.subversions}\nsha256:" + sha256(b"2"))
    assert second.subversions == f"{NOTHING}.{minor}.{NOTHING}"
    third = scene.store.push("pca", b"3")
    assert third.subversions == f"{NOTHING}.{minor}." + sha256(f"{second.subversions}\nsha256:" + sha256(b"3"))
    fourth = scene.store.push("pca", b"4", bump="major")
    assert fourth.subversions == sha256(f"{third.subversions}\nsha256:" + sha256(b"4")) + f".{NOTHING}.{NOTHING}"


@SCENARIOS.append
def older_bytes_pushed_again_make_a_new_version_which_is_the_latest(scene: Scene) -> None:
    first = scene.store.push("pca", b"old")
    scene.store.push("pca", b"new")
    again = scene.store.push("pca", b"old")
    assert (again.version, again.created, again.digest) == ("1.0.2", True, first.digest)
    assert scene.store.show("pca").version == "1.0.2"
    assert scene.store.pull("pca") == b"old"
    assert scene.store.pull("pca@1.0.1") == b"new"


@SCENARIOS.append
def pushing_the_bytes_of_the_latest_version_makes_no_version(scene: Scene) -> None:
    first = scene.store.push("pca", b"same", message="kept")
    rows = scene.rows()
    for bump in (None, "patch", "minor", "major"):
        again = scene.store.push("pca", b"same", bump=bump, message="not taken")
        assert (again.version, again.created, again.position) == (first.version, False, first.position)
    assert {**scene.rows(), "upload": 0} == {**rows, "upload": 0}
    assert scene.store.show("pca").message == "kept"


@SCENARIOS.append
def links_and_labels_are_recorded_on_a_version_that_exists(scene: Scene) -> None:
    scene.push("scaler", "aaa")
    scene.store.push("pca", b"same", labels={"by": "ann", "run": "1"})
    again = scene.store.push(
        "pca", b"same", labels={"run": "2"}, valid_for=["forest@any"], new_ops="major", valid_with=["scaler"]
    )
    assert (again.created, again.labels) == (False, {"by": "ann", "run": "2"})
    links = [(link.upstream, link.downstream, link.downstream_version) for link in scene.store.links()]
    assert links == [("scaler", "pca", "1.0.0"), ("pca", "forest", None)]


@SCENARIOS.append
def new_makes_a_version_of_the_same_bytes(scene: Scene) -> None:
    scene.store.push("pca", b"same")
    again = scene.store.push("pca", b"same", new=True)
    assert (again.version, again.sequence, again.created) == ("1.0.1", 2, True)
    assert scene.store.push("pca", b"same", new=True, bump="major").version == "2.0.0"


@SCENARIOS.append
def two_ops_number_their_versions_separately_and_share_the_blob(scene: Scene) -> None:
    scene.store.push("pca", b"one")
    scene.store.push("pca", b"same")
    other = scene.store.push("lda", b"same")
    assert (other.version, other.sequence) == ("1.0.0", 1)
    assert len(set(scene.saver)) == 2


@SCENARIOS.append
def empty_bytes_and_bytes_from_a_stream_can_be_pushed(scene: Scene) -> None:
    assert scene.store.push("empty", b"").size == 0
    assert scene.store.pull("empty") == b""
    large = bytes(range(256)) * 13_000
    assert scene.store.push("large", io.BytesIO(large)).digest == "sha256:" + sha256(large)
    assert scene.store.pull("large") == large


@SCENARIOS.append
def fields_are_hashed_as_json_with_sorted_keys_and_no_blanks(scene: Scene) -> None:
    fields = {"major": {"b": "2", "a": "é"}, "minor": {"lr": "0.1"}}
    pushed = scene.store.push("pca", b"bytes", fields=fields)  # type: ignore[arg-type]
    major, minor = sha256('{"a":"é","b":"2"}'), sha256('{"lr":"0.1"}')
    assert pushed.subversions == f"{major}.{minor}." + sha256(b"bytes")
    registered = scene.store.register("lda", fields={"patch": {"k": "v"}})
    assert registered.subversions == f"{NOTHING}.{NOTHING}." + sha256('{"k":"v"}')


@SCENARIOS.append
def a_field_set_back_to_an_old_value_makes_1_0_1_newer_than_2_0_0(scene: Scene) -> None:
    def push(data: bytes, depth: str) -> str:
        return scene.store.push("pca", data, fields={"major": {"depth": depth}}).version

    assert [push(b"1", "3"), push(b"2", "4"), push(b"3", "3")] == ["1.0.0", "2.0.0", "1.0.1"]
    assert scene.store.show("pca").version == "1.0.1"
    assert numbers(scene.store.versions("pca")) == ["1.0.1", "2.0.0", "1.0.0"]


@SCENARIOS.append
def a_hash_keeps_its_number_within_the_levels_above(scene: Scene) -> None:
    pushed = [scene.push("pca", letters) for letters in ("aaa", "aba", "baa", "bba", "bab", "abb", "cba", "abc")]
    assert pushed == ["1.0.0", "1.1.0", "2.0.0", "2.1.0", "2.0.1", "1.1.1", "3.0.0", "1.1.2"]


@SCENARIOS.append
def the_same_fields_and_bytes_make_nothing_new_and_other_bytes_are_a_conflict(scene: Scene) -> None:
    fields = {"patch": {"seed": "1"}}
    first = scene.store.push("pca", b"one", fields=fields)  # type: ignore[arg-type]
    assert not scene.store.push("pca", b"one", fields=fields).created  # type: ignore[arg-type]
    before = scene.has()
    with pytest.raises(errors.VersionConflict) as refused:
        scene.store.push("pca", b"two", fields=fields, labels={"k": "v"}, valid_for=["x@any"], new_ops="major")  # type: ignore[arg-type]
    assert refused.value.details["digest"] == first.digest
    assert scene.has() == before
    assert scene.store.pull("pca") == b"one"


@SCENARIOS.append
def a_declared_version_keeps_its_subversions(scene: Scene) -> None:
    pushed = scene.store.push("pca", b"one", subversions=spelt("abc"))
    assert (pushed.version, pushed.subversions, pushed.note) == ("1.0.0", spelt("abc"), None)
    noted = scene.store.push("pca", b"two", subversions=spelt("abd") + "_2020-01-01T00:00:00")
    assert (noted.version, noted.subversions, noted.note) == ("1.0.1", spelt("abd"), "2020-01-01T00:00:00")


@SCENARIOS.append
def the_same_version_and_bytes_make_nothing_new_and_other_bytes_are_a_conflict(scene: Scene) -> None:
    scene.store.push("pca", b"one", subversions=spelt("aaa"))
    scene.store.push("pca", b"two", subversions=spelt("aab"))
    again = scene.store.push("pca", b"one", subversions=spelt("aaa"))
    assert (again.version, again.created) == ("1.0.0", False)
    assert scene.store.show("pca").version == "1.0.1"
    before = scene.has()
    with pytest.raises(errors.VersionConflict):
        scene.store.push("pca", b"three", subversions=spelt("aaa"))
    assert scene.has() == before


@SCENARIOS.append
def bump_fields_and_subversions_are_mutually_exclusive(scene: Scene) -> None:
    before = scene.has()
    with pytest.raises(errors.InvalidRequest, match="mutually exclusive"):
        scene.store.push("pca", b"one", bump="patch", subversions=spelt("aaa"))
    with pytest.raises(errors.InvalidRequest, match="mutually exclusive"):
        scene.store.push("pca", b"one", bump="patch", fields={})
    with pytest.raises(errors.InvalidRequest, match="mutually exclusive"):
        scene.store.register("pca", fields={}, subversions=spelt("aaa"))
    with pytest.raises(errors.InvalidRequest, match="needs fields or subversions"):
        scene.store.register("pca")
    with pytest.raises(errors.InvalidSubversions):
        scene.store.push("pca", b"one", subversions="not.a.version")
    assert scene.has() == before


@SCENARIOS.append
def a_registered_version_has_no_bytes_until_it_is_pushed(scene: Scene) -> None:
    registered = scene.store.register("pca", subversions=spelt("aaa"), message="planned", labels={"k": "v"})
    assert (registered.version, registered.created) == ("1.0.0", True)
    assert (registered.digest, registered.size) == (None, None)
    with pytest.raises(errors.NotStored):
        scene.store.pull("pca")
    assert not scene.store.register("pca", subversions=spelt("aaa")).created
    pushed = scene.store.push("pca", b"bytes", subversions=spelt("aaa"))
    assert (pushed.version, pushed.sequence, pushed.created) == ("1.0.0", 1, True)
    assert (pushed.size, pushed.message, pushed.labels) == (5, "planned", {"k": "v"})
    assert scene.store.pull("pca@1.0.0") == b"bytes"
    assert scene.store.op("pca").versions == 1
    with pytest.raises(errors.VersionConflict):
        scene.store.push("pca", b"other", subversions=spelt("aaa"))


@SCENARIOS.append
def a_message_that_comes_with_the_bytes_of_a_registered_version_is_kept(scene: Scene) -> None:
    scene.store.register("pca", subversions=spelt("aaa"))
    assert scene.store.push("pca", b"bytes", subversions=spelt("aaa"), message="trained").message == "trained"
    assert scene.store.show("pca").message == "trained"


@SCENARIOS.append
def registering_a_stored_version_changes_nothing(scene: Scene) -> None:
    scene.push("pca", "aaa")
    rows = scene.rows()
    registered = scene.store.register("pca", subversions=spelt("aaa"), message="not taken")
    assert (registered.created, registered.size, registered.message) == (False, 7, None)
    assert scene.rows() == rows


@SCENARIOS.append
def the_latest_is_the_newest_stored_version_if_any_is_stored(scene: Scene) -> None:
    scene.store.register("pca", subversions=spelt("aaa"))
    scene.store.register("pca", subversions=spelt("aab"))
    assert scene.store.show("pca").version == "1.0.1"
    scene.push("pca", "aaa")
    assert scene.store.show("pca").version == "1.0.0"
    assert scene.store.op("pca").latest == "1.0.0"
    assert numbers(scene.store.versions("pca")) == ["1.0.1", "1.0.0"]


@SCENARIOS.append
def a_bump_starts_from_the_newest_stored_version_or_else_from_the_newest_registered_one(scene: Scene) -> None:
    scene.store.register("pca", subversions=spelt("aaa"))
    scene.store.register("pca", subversions=spelt("aba"))
    first = scene.store.push("pca", b"one")
    assert (first.version, first.subversions.startswith("aaaa.bbbb.")) == ("1.1.1", True)
    scene.store.register("pca", subversions=spelt("baa"))
    assert scene.store.push("pca", b"two").version == "1.1.2"
    assert scene.store.push("pca", b"three", bump="major").version == "3.0.0"


@SCENARIOS.append
def a_label_gets_the_newest_value_of_its_key(scene: Scene) -> None:
    scene.store.push("pca", b"one", labels={"acc": "0.9", "by": "ann"})
    scene.store.push("pca", b"one", labels={"acc": "0.8", "odd": "\x1b[31m ☃ [bold]"})
    assert scene.store.show("pca").labels == {"acc": "0.8", "by": "ann", "odd": "\x1b[31m ☃ [bold]"}


@SCENARIOS.append
def a_message_is_kept_as_it_was_written(scene: Scene) -> None:
    text = "first line\nsecond \x1b[1m line\t☃ 'quoted' [red]"
    scene.store.push("pca", b"one", message=text)
    assert scene.store.show("pca").message == text


@SCENARIOS.append
def an_illegal_name_is_refused_with_the_name_to_use(scene: Scene) -> None:
    with pytest.raises(errors.InvalidName) as refused:
        scene.store.push("RandomForest", b"one")
    assert refused.value.advice == "use random_forest"
    for name in ("", "..", "a..b", "-a", "a/b", "con", "a" * 129, "é"):
        with pytest.raises(errors.InvalidName):
            scene.store.push(name, b"one")
        with pytest.raises(errors.InvalidName):
            scene.store.set_op(name, compat="exact")
    assert scene.store.ops() == []


@SCENARIOS.append
def ops_are_listed_by_name_with_latest_count_and_level(scene: Scene) -> None:
    assert scene.store.ops() == []
    scene.store.push("zeta", b"one")
    scene.push("alpha", "aaa")
    scene.push("alpha", "aab")
    scene.create("only_in_a_pipeline")
    told = [(op.name, op.latest, op.versions, op.compat) for op in scene.store.ops()]
    assert told == [
        ("alpha", "1.0.1", 2, "major"),
        ("only_in_a_pipeline", None, 0, "major"),
        ("zeta", "1.0.0", 1, "exact"),
    ]
    assert scene.store.op("zeta") == scene.store.ops()[2]
    with pytest.raises(errors.OpNotFound):
        scene.store.op("nobody")


@SCENARIOS.append
def format_and_libraries_are_recorded_with_the_version(scene: Scene) -> None:
    pushed = scene.store.push("pca", b"model", format="joblib", libraries={"scikit-learn": "1.5.0", "numpy": "2.0"})
    told = ("joblib", {"numpy": "2.0", "scikit-learn": "1.5.0"})
    assert (pushed.format, pushed.libraries) == told
    assert [(shown.format, shown.libraries) for shown in scene.store.versions("pca").versions] == [told]
    assert (scene.store.push("pca", b"other").format, scene.store.show("pca").libraries) == (None, {})


@SCENARIOS.append
def a_push_of_stored_bytes_does_not_change_their_format(scene: Scene) -> None:
    scene.store.push("pca", b"model", format="joblib")
    again = scene.store.push("pca", b"model", format="pickle")
    assert (again.created, again.format) == (False, "joblib")


@SCENARIOS.append
def bytes_of_a_yanked_version_are_refused_unless_new(scene: Scene) -> None:
    store = scene.store
    store.push("pca", b"one")
    store.yank("pca@1.0.0", "broken")
    before = scene.rows()
    for more in ({}, {"bump": "major"}, {"subversions": "aaaa.bbbb.cccc"}, {"fields": {"major": {"a": "b"}}}):
        with pytest.raises(errors.BytesYanked) as refused:
            store.push("pca", b"one", **more, tags=["best"])
        assert refused.value.details == {"op": "pca", "version": "1.0.0", "reason": "broken"}
    assert scene.rows() == before
    assert store.push("pca", b"one", new=True).version == "1.0.1"
    # The newest version with these bytes decides, and now it is not yanked.
    assert store.push("pca", b"two").version == "1.0.2"
    assert store.push("pca", b"one").version == "1.0.3"
    store.yank("pca@1.0.3", "still broken")
    with pytest.raises(errors.BytesYanked):
        store.push("pca", b"one")
    # Another op has nothing to do with it.
    assert store.push("encoder", b"one").version == "1.0.0"
    store.unyank("pca@1.0.3")
    assert store.push("pca", b"one").version == "1.0.3"


@SCENARIOS.append
def a_registered_version_does_not_get_the_bytes_of_a_yanked_one(scene: Scene) -> None:
    store = scene.store
    store.push("pca", b"one")
    store.register("pca", subversions="aaaa.bbbb.cccc")
    store.yank("pca@1.0.0", "broken")
    with pytest.raises(errors.BytesYanked):
        store.push("pca", b"one", subversions="aaaa.bbbb.cccc")
    assert store.show("pca@aaaa.bbbb.cccc_").digest is None
    pushed = store.push("pca", b"one", subversions="aaaa.bbbb.cccc", new=True)
    assert (pushed.subversions, pushed.created) == ("aaaa.bbbb.cccc", True)
    assert store.push("pca", b"one", subversions="aaaa.bbbb.cccc", new=True).created is False


@SCENARIOS.append
def a_patch_of_declared_subversions_may_have_the_bytes_of_a_yanked_version(scene: Scene) -> None:
    store = scene.store
    store.push("pca", b"one", subversions="aaaa.bbbb.cccc")
    store.push("pca", b"two", subversions="aaaa.bbbb.dddd")
    store.yank("pca@1.0.0", "broken")
    pushed = store.push("pca", b"one", subversions="aaaa.bbbb.dddd", otherwise="patch")
    assert (pushed.version, pushed.created) == ("1.0.2", True)
