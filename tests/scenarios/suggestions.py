"""An error about a missing name suggests similar names."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from opstore_daemon.protocol import errors
from tests.scenarios.scene import Scenario, Scene

SCENARIOS: list[Scenario] = []


def refused(ask: Callable[[], Any]) -> tuple[str, str, Any]:
    """Return the text of the error, its hint, and the names in its details."""
    with pytest.raises((errors.OpNotFound, errors.PipelineNotFound)) as caught:
        ask()
    return caught.value.text, caught.value.advice, caught.value.details.get("similar")


@SCENARIOS.append
def a_mistyped_op_name_gets_the_right_one_as_suggestion(scene: Scene) -> None:
    scene.push("random_forest", "aaa")
    scene.push("pca", "aaa")
    store = scene.store
    said = ("there is no op random_forst", "did you mean random_forest?", ["random_forest"])
    for ask in (
        lambda: store.show("random_forst@1.0.0"),
        lambda: store.pull("random_forst"),
        lambda: store.versions("random_forst"),
        lambda: store.op("random_forst"),
        lambda: store.set_op("random_forst", compat="exact"),
        lambda: store.links("random_forst"),
        lambda: store.link("random_forst", "pca@any"),
        lambda: store.link("pca", "random_forst@1.0.0"),
        lambda: store.validate("pca", "random_forst@1.0.0"),
        lambda: store.push("boost", b"x", valid_with=["random_forst"]),
    ):
        assert refused(ask) == said


@SCENARIOS.append
def a_mistyped_pipeline_name_gets_the_right_one_as_suggestion(scene: Scene) -> None:
    scene.store.register_pipeline("churn", ["scaler", "forest"])
    for ask in (scene.store.pipeline, scene.store.remove_pipeline, scene.store.validate_pipeline):
        said = ("there is no pipeline chrun", "did you mean churn?", ["churn"])
        assert refused(partial(ask, "chrun")) == said
        # The name of an op is not suggested for a pipeline.
        said_of_none = ("there is no pipeline scalar", "opstore pipeline list", None)
        assert refused(partial(ask, "scalar")) == said_of_none


@SCENARIOS.append
def three_similar_names_are_suggested_the_most_similar_first(scene: Scene) -> None:
    for op in ("forest", "forest2", "forest_of_may", "forester", "tokenizer"):
        scene.push(op, "aaa")
    text, advice, similar = refused(lambda: scene.store.show("forst"))
    assert (text, similar) == ("there is no op forst", ["forest", "forest2", "forester"])
    assert advice == "did you mean forest or forest2 or forester?"


@SCENARIOS.append
def without_a_similar_name_the_hint_is_the_command_that_lists_them(scene: Scene) -> None:
    assert refused(lambda: scene.store.show("pca")) == ("there is no op pca", "opstore ops", None)
    scene.push("tokenizer", "aaa")
    assert refused(lambda: scene.store.show("pca")) == ("there is no op pca", "opstore ops", None)


@SCENARIOS.append
def an_op_in_place_of_a_pipeline_is_named_with_its_pipelines_and_the_reverse(scene: Scene) -> None:
    scene.push("pca", "aaa")
    scene.push("alone", "aaa")
    scene.store.register_pipeline("reviews", ["pca", "forest"])
    scene.store.register_pipeline("churn", ["pca", "boost"])
    asks = (scene.store.validate_pipeline, scene.store.resolve, scene.store.pipeline)
    for ask in asks:
        assert refused(partial(ask, "pca")) == (
            "there is no pipeline pca",
            "pca is an op of the pipelines churn and reviews",
            None,
        )
        assert refused(partial(ask, "alone"))[1] == (
            "alone is an op, and no pipeline has it: opstore pipeline register PIPELINE UP alone"
        )
    for show in (scene.store.show, scene.store.versions, scene.store.op):
        assert refused(partial(show, "churn")) == (
            "there is no op churn",
            "churn is a pipeline: opstore pipeline show churn",
            None,
        )
    scene.store.remove_pipeline("churn")
    assert refused(partial(scene.store.show, "churn"))[1] == "opstore ops"
