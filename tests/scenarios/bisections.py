"""Bisections: which entry of the journal broke a pipeline."""

import msgspec
import pytest

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.records import NewBisection
from opstore_daemon.protocol.records.runs import MAX_COMMAND
from tests.scenarios.scene import Scenario, Scene
from tests.support.new_run import COMMAND, SCRIPT, new_run

SCENARIOS: list[Scenario] = []


def broken(scene: Scene) -> NewBisection:
    """Register the pipeline churn, whose pca@1.0.2 (position 5) broke it, and return what a bisection finds."""
    for version in ("aaa", "aab"):
        scene.push("pca", version)
        scene.push("forest", version)
    scene.push("pca", "aac")
    scene.push("forest", "aac")
    scene.store.register_pipeline("churn", ["pca", "forest"])
    good = scene.store.record_run("churn", new_run("pca@1.0.1", "forest@1.0.1")).run.position
    bad = scene.store.record_run("churn", new_run("pca@1.0.2", "forest@1.0.1", result="failed")).run.position
    return NewBisection(command=COMMAND, script=SCRIPT, good=2, bad=6, last_good=4, first_bad=5, runs=(bad, good))


@SCENARIOS.append
def a_bisection_names_the_entry_that_broke_the_pipeline_and_the_last_good_set(scene: Scene) -> None:
    new, store = broken(scene), scene.store
    entry = {each.position: each for each in store.log()}[5]
    recorded = store.record_bisection("churn", new)
    culprit = recorded.culprit
    assert (culprit.position, culprit.action, culprit.op, culprit.version) == (5, "stored", "pca", "1.0.2")
    assert (culprit.registered_at, culprit.author, culprit.text) == (entry.registered_at, entry.author, entry.text)
    assert [str(version) for version in recorded.last_good_versions] == ["pca@1.0.1", "forest@1.0.1"]
    sent = msgspec.structs.asdict(new)
    assert {name: getattr(recorded, name) for name in sent} == sent
    assert (recorded.pipeline, store.bisections(), store.bisections("churn")) == ("churn", [recorded], [recorded])


@SCENARIOS.append
def the_journal_lists_bisections_with_the_version_that_broke_the_pipeline(scene: Scene) -> None:
    recorded = scene.store.record_bisection("churn", broken(scene))
    for name in (None, "churn", "pca"):
        entry = scene.store.log(name, limit=1)[0]
        assert (entry.position, entry.action, entry.pipeline) == (recorded.position, "bisected", "churn")
        assert list(map(str, entry.versions)) == ["pca@1.0.2"]
        assert entry.text == "python eval.py --data 'a file': broken by position 5"
    assert scene.store.log("forest", limit=1)[0].action != "bisected"


@SCENARIOS.append
def a_bisection_with_skipped_sets_has_the_last_tested_ones_as_its_ends(scene: Scene) -> None:
    new = msgspec.structs.replace(broken(scene), last_good=3, skipped=(4,), runs=())
    recorded = scene.store.record_bisection("churn", new)
    assert (recorded.skipped, recorded.runs) == ((4,), ())
    assert [str(version) for version in recorded.last_good_versions] == ["pca@1.0.1", "forest@1.0.0"]
    yank = scene.store.yank("pca@1.0.2", "drift")
    position = scene.store.log(limit=1)[0].position
    undone = scene.store.record_bisection("churn", msgspec.structs.replace(new, bad=position, first_bad=position))
    assert (undone.culprit.action, undone.culprit.version, yank.yanked) == ("yanked", "1.0.1", True)
    assert undone.culprit.text == "drift"
    assert scene.store.bisections(limit=1) == [undone]
    assert scene.store.bisections() == [undone, recorded]


@SCENARIOS.append
def a_bisection_that_contradicts_the_journal_is_refused_and_leaves_nothing(scene: Scene) -> None:
    new, store = broken(scene), scene.store
    scene.push("other", "aaa")
    before = scene.has()
    refused: list[tuple[dict[str, object], str]] = [
        ({"good": 0}, "1 <= good"),
        ({"good": 5}, "good <= last_good"),
        ({"last_good": 5}, "not 2, 5, 5 and 6"),
        ({"bad": 4}, "first_bad <= bad"),
        ({"bad": 10**6}, "position 1000000 does not exist"),
        ({"first_bad": 7, "bad": 7}, "position 7 changed no latest version"),
        ({"first_bad": 10, "bad": 10}, "position 10 changed no latest version"),
        ({"skipped": (4,)}, "after last_good and before first_bad"),
        ({"last_good": 2, "skipped": (4, 3)}, "are in order"),
        ({"last_good": 2, "skipped": (3, 3)}, "are in order"),
        ({"last_good": 6, "first_bad": 9, "bad": 9, "skipped": (7,)}, "position 7 changed no latest version"),
        ({"good": 1, "last_good": 1}, "forest has no version as of position 1: nothing could be run"),
        ({"runs": (5,)}, "there is no run of churn at position 5"),
        ({"runs": (*new.runs, 10**9)}, "there is no run of churn at position 1000000000"),
        ({"command": ("x" * 16384,) * 5}, f"at most {MAX_COMMAND} characters"),
    ]
    for change, words in refused:
        with pytest.raises(errors.InvalidRequest) as caught:
            store.record_bisection("churn", msgspec.structs.replace(new, **change))
        assert words in str(caught.value), change
    for name in ("chrun", "pca"):
        with pytest.raises(errors.PipelineNotFound):
            store.record_bisection(name, new)
        with pytest.raises(errors.PipelineNotFound):
            store.bisections(name)
    assert scene.has() == before


@SCENARIOS.append
def a_bisection_of_a_pipeline_with_other_ops_is_about_the_history_of_these(scene: Scene) -> None:
    new, store = broken(scene), scene.store
    store.remove_pipeline("churn")
    assert store.bisections("churn") == []
    store.register_pipeline("churn", ["forest"])
    with pytest.raises(errors.InvalidRequest, match="position 5 changed no latest version of the pipeline"):
        store.record_bisection("churn", new)
    recorded = store.record_bisection("churn", msgspec.structs.replace(new, first_bad=6))
    assert [str(version) for version in recorded.last_good_versions] == ["forest@1.0.1"]
