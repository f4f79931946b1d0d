"""How the latest versions of a pipeline's ops changed."""

import pytest

from opstore_daemon.protocol import errors
from tests.scenarios.scene import Scenario, Scene, spelt

SCENARIOS: list[Scenario] = []


@SCENARIOS.append
def the_history_of_a_set_has_each_entry_that_changed_a_latest_version(scene: Scene) -> None:
    store = scene.store
    store.register_pipeline("churn", ["pca", "forest"])
    store.register("pca", subversions=spelt("aaa"), message="first")
    scene.push("forest", "aaa")
    store.register("pca", subversions=spelt("aab"))
    scene.push("pca", "aaa")
    store.register("pca", subversions=spelt("aac"))
    scene.push("pca", "aad")
    store.link("pca", "forest")
    store.edit("pca@1.0.3", message="edited", labels={"a": "b"})
    store.yank("pca@1.0.0", "old")
    store.yank("pca@1.0.3", "drift")
    store.unyank("pca@1.0.0")
    store.unyank("pca@1.0.3")
    found = store.set_history("churn")
    assert [(change.action, change.op, change.version) for change in found.changes] == [
        ("registered", "pca", "1.0.0"),
        ("stored", "forest", "1.0.0"),
        ("registered", "pca", "1.0.1"),
        ("stored", "pca", "1.0.0"),
        ("stored", "pca", "1.0.3"),
        ("yanked", "pca", None),
        ("unyanked", "pca", "1.0.0"),
        ("unyanked", "pca", "1.0.3"),
    ]
    assert (found.pipeline, found.edges) == ("churn", (("pca", "forest"),))
    assert [str(version) for version in found.versions] == ["pca", "forest"]
    assert [(change.text, change.author) for change in found.changes if change.text] == [
        ("first", found.changes[0].author),
        ("drift", found.changes[0].author),
    ]
    entries = {entry.position: entry for entry in store.log()}
    for change in found.changes:
        entry = entries[change.position]
        assert (entry.registered_at, entry.action) == (change.registered_at, change.action)


@SCENARIOS.append
def a_part_of_a_history_begins_with_the_versions_as_of_then(scene: Scene) -> None:
    scene.numbered("pca")
    scene.push("forest", "aaa")
    scene.store.register_pipeline("churn", ["pca", "forest"])
    third = scene.store.show("pca@1.1.0")
    found = scene.store.set_history("churn", since=str(third.position), until="5")
    assert (found.since, found.until) == (third.position, 5)
    assert [str(version) for version in found.versions] == ["pca@1.1.0", "forest"]
    assert [change.version for change in found.changes] == ["2.0.0", "1.0.2"]
    by_time = scene.store.set_history("churn", since=third.registered_at.isoformat(), until="5")
    assert by_time == found
    assert scene.store.set_history("churn", since="5", until="5").changes == ()
    assert [change.op for change in scene.store.set_history("churn", since="5").changes] == ["forest"]
    for since, until in (("5", "3"), ("99", None), (None, "99"), ("2026-13-01", None)):
        with pytest.raises(errors.InvalidRequest):
            scene.store.set_history("churn", since=since, until=until)
    with pytest.raises(errors.PipelineNotFound):
        scene.store.set_history("chrun")
