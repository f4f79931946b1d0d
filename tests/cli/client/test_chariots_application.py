"""A chariots application that starts, saves and loads with its own class of versions."""

import pickle
from typing import Any

import pytest

from opstore_cli import BaseOpStoreClient
from tests.scenarios import Scene
from tests.support.chariots_application import Application, AsChariotsHashes, ForeignVersion, Op, VersionError, chain

STATELESS = ForeignVersion("loader")


def an_application(client: BaseOpStoreClient, pca: ForeignVersion, forest: ForeignVersion) -> Application:
    """A training and a prediction pipeline that share their ops; the loader keeps no state."""
    loader = Op("iris.loader", STATELESS)
    trained, grown = Op("pca", pca, state={"components": 2}), Op("random_forest", forest, state=["tree"])
    return Application(client, [chain("train", loader, trained, grown), chain("predict", trained, grown)])


def theirs(*versions: ForeignVersion) -> set[Any]:
    return set(versions)


def test_the_first_start_registers_everything(client: BaseOpStoreClient) -> None:
    pca, forest = ForeignVersion("2 components"), ForeignVersion("50 trees")
    an_application(client, pca, forest).start()
    assert {pipeline.name: pipeline.edges for pipeline in client.pipelines()} == {
        "train": (("iris.loader", "pca"), ("pca", "random_forest")),
        "predict": (("pca", "random_forest"),),
    }
    assert [(op.name, op.latest, op.versions) for op in client.ops()] == [
        ("iris.loader", "1.0.0", 1),
        ("pca", "1.0.0", 1),
        ("random_forest", "1.0.0", 1),
    ]
    assert client.get_all_versions_of_op("iris.loader") == theirs(STATELESS)
    assert client.show("iris.loader").digest is None
    assert client.get_validated_links("random_forest", "pca") == theirs(pca)
    assert client.get_validated_links("pca", "iris.loader") == theirs(STATELESS)
    assert client.get_validated_links("random_forest", "iris.loader") is None
    assert client.show("pca").note == str(pca.creation_time)
    assert " " in str(pca)


def test_a_later_start_creates_nothing(client: BaseOpStoreClient, scene: Scene) -> None:
    pca, forest = ForeignVersion("2 components"), ForeignVersion("50 trees")
    an_application(client, pca, forest).start()
    before = scene.has()
    application = an_application(client, pca, forest)
    application.start()
    for pipeline in application.pipelines:
        application.save(pipeline)
    assert scene.has() == before


def test_a_restart_loads_the_newest_state_that_was_saved(client: BaseOpStoreClient) -> None:
    pca, forest = ForeignVersion("2 components"), ForeignVersion("50 trees")
    first = an_application(client, pca, forest)
    first.start()
    trained = first.pipelines[0].nodes[1].op
    trained.state, trained.version = {"components": 2, "mean": 5.8}, ForeignVersion("2 components", patch="trained")
    first.save(first.pipelines[0])
    second = an_application(client, pca, forest)
    second.load(second.pipelines[1])
    loaded, grown = (node.op for node in second.pipelines[1].nodes)
    assert loaded.state == {"components": 2, "mean": 5.8}
    assert loaded.version == trained.version
    assert str(loaded.version) == str(trained.version).partition("_")[0]
    assert grown.state == ["tree"]


def test_an_upstream_that_no_downstream_was_validated_on_is_refused_until_it_was(client: BaseOpStoreClient) -> None:
    pca, forest = ForeignVersion("2 components"), ForeignVersion("50 trees")
    an_application(client, pca, forest).start()
    changed = ForeignVersion("3 components")
    alone = Application(client, [chain("train.pca", Op("pca", changed, state={"components": 3}))])
    alone.start()
    serving = an_application(client, changed, forest)
    with pytest.raises(VersionError, match="no validated link from pca to random_forest"):
        serving.load(serving.pipelines[1])
    retrained = an_application(client, changed, ForeignVersion("50 trees", patch="on 3 components"))
    retrained.pipelines[0].nodes[1].op.state = {"components": 3}
    retrained.pipelines[0].nodes[2].op.state = ["another tree"]
    retrained.save(retrained.pipelines[0])
    serving = an_application(client, changed, forest)
    serving.load(serving.pipelines[1])
    assert [node.op.state for node in serving.pipelines[1].nodes] == [{"components": 3}, ["another tree"]]


def test_an_op_that_is_newer_than_all_that_is_stored_keeps_its_own_state(client: BaseOpStoreClient) -> None:
    an_application(client, ForeignVersion("2 components"), ForeignVersion("50 trees")).start()
    newer = Application(client, [chain("alone", Op("pca", ForeignVersion("9 components"), state="untrained"))])
    newer.load(newer.pipelines[0])
    assert newer.pipelines[0].nodes[0].op.state == "untrained"


def test_other_bytes_under_the_same_version_are_what_the_next_start_loads(client: BaseOpStoreClient) -> None:
    pca, forest = ForeignVersion("2 components"), ForeignVersion("50 trees")
    first = an_application(client, pca, forest)
    first.start()
    first.pipelines[1].nodes[0].op.state = {"components": 2, "seed": 7}
    first.save(first.pipelines[1])
    first.save(first.pipelines[1])
    second = an_application(client, pca, forest)
    second.load(second.pipelines[1])
    loaded = second.pipelines[1].nodes[0].op
    assert loaded.state == {"components": 2, "seed": 7}
    assert loaded.version != pca
    assert loaded.version.major == pca.major
    assert pickle.loads(client.get_op_bytes_for_version("pca", pca)) == {"components": 2}  # noqa: S301
    assert [version.version for version in client.versions("pca").versions] == ["1.0.1", "1.0.0"]
    assert client.validate("pca@1.0.1", "random_forest").verdict == "valid"


def test_the_order_of_the_store_counts_not_the_clock_of_an_application(client: BaseOpStoreClient) -> None:
    late, early = ForeignVersion("a"), ForeignVersion("b")
    late.creation_time, early.creation_time = early.creation_time, late.creation_time.replace(year=1999)
    for state, version in enumerate((late, early)):
        client.save_op_bytes("pca", version, b"%d" % state)
    versions = client.get_all_versions_of_op("pca")
    assert versions == theirs(late, early)
    assert max(versions) == early
    assert client.get_op_bytes_for_version("pca", max(versions)) == b"1"


def test_versions_that_hash_as_those_of_chariots_are_found_by_their_subversions(client: BaseOpStoreClient) -> None:
    version = AsChariotsHashes("2 components")
    application = Application(client, [chain("alone", Op("pca", version, state=1))])
    application.start()
    versions = client.get_all_versions_of_op("pca")
    assert versions is not None
    assert list(versions) == [version]
    assert [version] == list(versions)
    assert {each.major for each in versions} == {version.major}
    application.load(application.pipelines[0])
    assert application.pipelines[0].nodes[0].op.state == 1
