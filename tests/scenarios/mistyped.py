"""A name that is not there is answered with those that are like it."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from opstore_daemon.protocol import errors
from tests.scenarios.scene import Scenario, Scene

SCENARIOS: list[Scenario] = []


def refused(ask: Callable[[], Any]) -> tuple[str, str, Any]:
    """What the error says, its hint, and the names in its details."""
    with pytest.raises((errors.OpNotFound, errors.PipelineNotFound)) as caught:
        ask()
    return caught.value.text, caught.value.advice, caught.value.details.get("similar")


@SCENARIOS.append
def a_mistyped_op_is_answered_with_the_op_that_was_meant(scene: Scene) -> None:
    scene.push("random_forest", "aaa")
    scene.push("pca", "aaa")
    store = scene.store
    said = ("there is no op random_forst", "did you mean random_forest?", ["random_forest"])
    for ask in (
        lambda: store.show("random_forst@1.0.0"),
        lambda: store.pull("random_forst"),
        lambda: store.versions("random_forst"),
        lambda: store.op("random_forst"),
        lambda: store.set_compat("random_forst", "exact"),
        lambda: store.links("random_forst"),
        lambda: store.link("random_forst", "pca"),
        lambda: store.link("pca", "random_forst@1.0.0"),
        lambda: store.validate("pca", "random_forst@1.0.0"),
        lambda: store.push("boost", b"x", valid_with=["random_forst"]),
    ):
        assert refused(ask) == said


@SCENARIOS.append
def a_mistyped_pipeline_is_answered_with_the_pipeline_that_was_meant(scene: Scene) -> None:
    scene.store.register_pipeline("churn", ["scaler", "forest"])
    for ask in (scene.store.pipeline, scene.store.remove_pipeline, scene.store.validate_pipeline):
        said = ("there is no pipeline chrun", "did you mean churn?", ["churn"])
        assert refused(partial(ask, "chrun")) == said
        # An op of a similar name is none.
        said_of_none = ("there is no pipeline scalar", "opstore pipeline list", None)
        assert refused(partial(ask, "scalar")) == said_of_none


@SCENARIOS.append
def of_several_similar_names_three_are_told_and_the_most_similar_comes_first(scene: Scene) -> None:
    for op in ("forest", "forest2", "forest_of_may", "forester", "tokenizer"):
        scene.push(op, "aaa")
    text, advice, similar = refused(lambda: scene.store.show("forst"))
    assert (text, similar) == ("there is no op forst", ["forest", "forest2", "forester"])
    assert advice == "did you mean forest or forest2 or forester?"


@SCENARIOS.append
def where_nothing_is_similar_the_hint_is_the_command_that_lists(scene: Scene) -> None:
    assert refused(lambda: scene.store.show("pca")) == ("there is no op pca", "opstore ops", None)
    scene.push("tokenizer", "aaa")
    assert refused(lambda: scene.store.show("pca")) == ("there is no op pca", "opstore ops", None)
