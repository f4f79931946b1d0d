"""Edits of messages, labels and descriptions, the journal that lists them, and lists by label."""

from collections.abc import Callable

import pytest

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.limits import MAX_LABELS
from tests.scenarios.scene import Scenario, Scene

SCENARIOS: list[Scenario] = []


def _position(scene: Scene) -> str:
    return str(scene.store.log(limit=1)[0].position)


@SCENARIOS.append
def an_edit_changes_message_and_labels_in_one_entry(scene: Scene) -> None:
    pushed = scene.store.push("pca", b"one", message="first", labels={"stage": "dev", "owner": "ann"})
    before = _position(scene)
    edited = scene.store.edit("pca", message="better", labels={"stage": "prod", "run": "4711"}, unlabel=["owner"])
    assert (edited.message, edited.labels) == ("better", {"run": "4711", "stage": "prod"})
    assert (edited.version, edited.digest, edited.position) == ("1.0.0", pushed.digest, pushed.position)
    assert scene.store.show("pca") == edited
    then = scene.store.show("pca", as_of=before)
    assert (then.message, then.labels) == ("first", {"owner": "ann", "stage": "dev"})
    entry = scene.store.log("pca")[0]
    assert (entry.position, entry.action, entry.text) == (int(before) + 1, "edited", "better")
    assert entry.labels == {"owner": None, "run": "4711", "stage": "prod"}
    assert [(each.op, each.version) for each in entry.versions] == [("pca", "1.0.0")]


@SCENARIOS.append
def an_edit_that_changes_nothing_appends_no_entry(scene: Scene) -> None:
    scene.store.push("pca", b"one", message="first", labels={"a": "1"})
    rows = scene.rows()
    assert scene.store.edit("pca", message="first", labels={"a": "1"}).labels == {"a": "1"}
    assert scene.rows() == rows


@SCENARIOS.append
def an_empty_message_removes_the_message_and_a_later_edit_brings_one_back(scene: Scene) -> None:
    scene.store.push("pca", b"one", message="first")
    before = _position(scene)
    assert scene.store.edit("pca", message="").message is None
    assert scene.store.show("pca").message is None
    assert scene.store.log(limit=1)[0].text == ""
    assert scene.store.edit("pca", message="third").message == "third"
    assert scene.store.show("pca", as_of=before).message == "first"


@SCENARIOS.append
def the_message_of_the_push_that_stores_a_registered_version_replaces_an_edited_one(scene: Scene) -> None:
    scene.store.register("pca", subversions="aaaa.bbbb.cccc", message="registered")
    scene.store.edit("pca", message="edited")
    before = _position(scene)
    scene.store.push("pca", b"one", subversions="aaaa.bbbb.cccc", message="stored")
    assert scene.store.show("pca").message == "stored"
    assert scene.store.show("pca", as_of=before).message == "edited"
    scene.store.register("pca", subversions="aaaa.bbbb.dddd")
    scene.store.edit("pca@1.0.1", message="edited")
    scene.store.push("pca", b"two", subversions="aaaa.bbbb.dddd")
    assert scene.store.show("pca@1.0.1").message == "edited"


@SCENARIOS.append
def an_edit_that_is_refused_changes_nothing(scene: Scene) -> None:
    scene.store.push("pca", b"one", labels={"a": "1", "b": "2"})
    rows = scene.rows()
    with pytest.raises(errors.LabelNotFound, match=r"pca@1\.0\.0 has no label x; its labels: a, b"):
        scene.store.edit("pca", message="new", unlabel=["a", "x"])
    refused: list[tuple[type[Exception], Callable[[], object]]] = [
        (errors.InvalidRequest, lambda: scene.store.edit("pca")),
        (errors.InvalidRequest, lambda: scene.store.edit("pca", labels={"a": "2"}, unlabel=["a"])),
        (errors.OpNotFound, lambda: scene.store.edit("nobody", message="new")),
        (errors.VersionNotFound, lambda: scene.store.edit("pca@2.0.0", message="new")),
        (errors.InvalidRequest, lambda: scene.store.set_op("pca")),
        (errors.OpNotFound, lambda: scene.store.set_op("nobody", description="new")),
    ]
    for error, edit in refused:
        with pytest.raises(error):
            edit()
    assert scene.rows() == rows


@SCENARIOS.append
def a_version_has_a_bounded_number_of_labels(scene: Scene) -> None:
    full = {f"k{place}": "v" for place in range(MAX_LABELS)}
    scene.store.push("pca", b"one", labels=full)
    rows = scene.rows()
    refusals: tuple[Callable[[], object], ...] = (
        lambda: scene.store.edit("pca", labels={"more": "v"}),
        lambda: scene.store.push("pca", b"one", labels={"more": "v"}),
    )
    for refused in refusals:
        with pytest.raises(errors.TooManyLabels, match=f"{MAX_LABELS + 1} labels; a version can have {MAX_LABELS}"):
            refused()
    assert scene.rows() == rows
    assert len(scene.store.edit("pca", labels={"more": "v", "k1": "w"}, unlabel=["k0"]).labels) == MAX_LABELS


@SCENARIOS.append
def an_op_has_a_description_until_an_empty_one_removes_it(scene: Scene) -> None:
    scene.store.push("pca", b"one")
    assert scene.store.op("pca").description is None
    changed = scene.store.set_op("pca", description="50 components", compat="minor")
    assert (changed.description, changed.compat) == ("50 components", "minor")
    assert scene.store.op("pca") == changed == scene.store.ops()[0]
    rows = scene.rows()
    scene.store.set_op("pca", description="50 components")
    assert scene.rows() == rows
    assert scene.store.set_op("pca", compat="exact").description == "50 components"
    assert scene.store.set_op("pca", description="").description is None
    told = [(each.action, each.text) for each in scene.store.log("pca")]
    assert told[:4] == [("described", ""), ("level", "exact"), ("described", "50 components"), ("level", "minor")]


@SCENARIOS.append
def an_edit_changes_no_verdict(scene: Scene) -> None:
    scene.store.push("pca", b"one")
    scene.store.push("forest", b"trees", valid_with=["pca@1.0.0"])
    before = scene.store.validate("pca", "forest")
    scene.store.edit("pca", message="new", labels={"a": "b"})
    scene.store.set_op("forest", description="trees")
    assert scene.store.validate("pca", "forest") == before


@SCENARIOS.append
def a_yanked_version_can_be_edited_by_its_number(scene: Scene) -> None:
    scene.store.push("pca", b"one")
    scene.store.yank("pca", "broken")
    assert scene.store.edit("pca@1.0.0", labels={"a": "b"}).yank_reason == "broken"
    with pytest.raises(errors.VersionNotFound):
        scene.store.edit("pca", labels={"a": "c"})


@SCENARIOS.append
def the_journal_lists_entries_newest_first_and_a_name_filters_them(scene: Scene) -> None:
    store = scene.store
    store.register("pca", subversions="aaaa.bbbb.cccc", message="to come")
    store.push("forest", b"trees", labels={"a": "b"}, tags=["dev"])
    store.link("pca@1.0.0", "forest@1.0.0", evidence="auc 0.9")
    store.push("pca", b"one", subversions="aaaa.bbbb.cccc")
    store.register_pipeline("churn", ["pca", "forest"])
    store.set_op("pca", compat="minor", description="text")
    store.edit("pca", labels={"k": "v"})
    store.edit("pca", unlabel=["k"], message="done")
    store.yank("pca", "broken")
    store.tag(["forest"], "prod")
    store.remove_pipeline("churn")
    store.push("pca", b"many", tags=[f"t{place}" for place in range(5)])
    every = store.log()
    assert [entry.position for entry in every] == list(range(len(every), 0, -1))
    assert store.log(limit=3) == every[:3]
    of_pca = [entry for entry in every if any(version.op == "pca" for version in entry.versions)]
    assert store.log("pca") == of_pca
    assert [entry.action for entry in of_pca] == [
        *("tagged", "stored", "yanked", "edited", "edited", "described", "level", "stored", "valid for", "registered")
    ]
    assert store.log("pca", limit=3) == of_pca[:3], "an entry that moved many tags is one"
    assert [entry.action for entry in store.log("forest")] == ["tagged", "valid for", "tagged", "stored"]
    assert [entry.action for entry in store.log("churn")] == ["pipeline removed", "pipeline registered"]
    with pytest.raises(errors.OpNotFound, match="there is no op or pipeline nobody"):
        store.log("nobody")
    with pytest.raises(errors.InvalidName):
        store.log("No Name")


@SCENARIOS.append
def an_op_and_a_pipeline_of_one_name_share_their_journal(scene: Scene) -> None:
    scene.store.push("churn", b"one")
    scene.store.push("pca", b"one")
    scene.store.register_pipeline("churn", ["pca", "churn"])
    assert [entry.action for entry in scene.store.log("churn")] == ["pipeline registered", "stored"]


@SCENARIOS.append
def versions_and_ops_are_listed_by_their_labels(scene: Scene) -> None:
    store = scene.store
    store.push("pca", b"one", labels={"stage": "prod", "team": "search"})
    store.push("pca", b"two", labels={"stage": "dev", "team": "search"})
    store.push("pca", b"three")
    store.push("forest", b"trees", labels={"stage": "prod"}, valid_with=["pca@1.0.0", "pca@1.0.1"])

    def numbers(*label: str, **options: object) -> list[str]:
        return [each.version for each in store.versions("pca", label=label, **options).versions]  # type: ignore[arg-type]

    assert numbers("team") == numbers("team=search") == ["1.0.1", "1.0.0"]
    assert numbers("team", "stage=prod") == ["1.0.0"]
    assert numbers("team", limit=1) == ["1.0.1"]
    assert numbers("stage=prod", valid_for=["forest"]) == ["1.0.0"]
    assert numbers("stage=") == numbers("other") == []
    assert [each.version for each in store.versions("pca@1.0.2", label=["team"]).versions] == []
    assert [op.name for op in store.ops(label=["stage=prod"])] == ["forest", "pca"]
    assert [op.name for op in store.ops(label=["stage=prod", "team"])] == ["pca"]
    assert [op.name for op in store.ops(label=["stage=dev", "team=other"])] == []
    before = _position(scene)
    store.edit("pca@1.0.0", unlabel=["stage"])
    assert numbers("stage=prod") == []
    assert numbers("stage=prod", as_of=before) == ["1.0.0"]
    assert [op.name for op in store.ops(label=["stage=prod"])] == ["forest"]


@SCENARIOS.append
def labels_to_look_for_are_checked(scene: Scene) -> None:
    scene.store.push("pca", b"one", labels={"a": "b=c"})
    assert len(scene.store.versions("pca", label=["a=b=c"]).versions) == 1
    for label in ("", "=v", "a\nb", "k" * 129):
        with pytest.raises(errors.InvalidLabel):
            scene.store.versions("pca", label=[label])
        with pytest.raises(errors.InvalidLabel):
            scene.store.ops(label=[label])
    with pytest.raises(errors.InvalidRequest, match="17 labels are too many: the limit is 16"):
        scene.store.versions("pca", label=[f"k{place}" for place in range(17)])


@SCENARIOS.append
def the_details_of_a_version_say_where_it_is_the_latest_and_what_it_is_valid_with(scene: Scene) -> None:
    store = scene.store
    store.push("pca", b"one", tags=["dev"])
    store.push("forest", b"trees", valid_with=["pca@1.0.0"])
    store.push("report", b"text")
    store.register_pipeline("churn", ["pca", "forest", "report"])
    store.push("pca", b"two", bump="minor")
    store.set_op("pca", compat="exact", description="50 components")
    before = _position(scene)
    old, new = store.details("pca@1.0.0"), store.details("pca")
    assert old.version == store.show("pca@1.0.0")
    assert (old.latest_of, new.latest_of) == (("pca@1.0",), ("pca", "pca@1", "pca@1.1"))
    assert (old.description, old.upstreams, old.has_more) == ("50 components", (), False)
    for found, word in ((old, "valid"), (new, "invalid")):
        (edge,) = found.downstreams
        assert (edge.downstream.op, edge.downstream.version, edge.verdict) == ("forest", "1.0.0", word)
    forest = store.details("forest")
    assert [(edge.upstream.version, edge.verdict) for edge in forest.upstreams] == [("1.1.0", "invalid")]
    assert [(edge.downstream.op, edge.verdict) for edge in forest.downstreams] == [("report", "unknown")]
    store.yank("pca@1.1.0", "broken")
    assert store.details("pca@1.0.0").latest_of == ("pca", "pca@1", "pca@1.0")
    assert store.details("pca@1.1.0").latest_of == ()
    assert store.details("pca@1.0.0", as_of=before) == old
    with pytest.raises(errors.VersionNotFound):
        store.details("pca@9.9.9")
