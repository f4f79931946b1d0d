"""What can't be saved is refused with the step, the reason and what to do, and nothing is stored."""

import sys
from typing import Any

import numpy as np
import pytest
from sklearn.cluster import Birch
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from opstore_cli import OpStoreClient
from opstore_cli.sklearn import graph, load_pipeline, save_pipeline
from opstore_daemon.protocol import errors, limits
from tests.cli.sklearn.models import CLASSES, FEATURES, Centred, pca_and_forest


class OwnPipeline(Pipeline):  # type: ignore[misc]
    """A subclass, such as imblearn's."""


class Unfinished(StandardScaler):  # type: ignore[misc]
    def __getstate__(self) -> Any:
        raise RuntimeError("no state today")


def local_class() -> Any:
    class Local(Centred):
        pass

    return Local()


def refit_alone() -> Any:
    fitted = make_pipeline(StandardScaler(), PCA(2), LogisticRegression(max_iter=500)).fit(FEATURES, CLASSES)
    fitted[1].set_params(n_components=3).fit(FEATURES)
    return fitted


def chain(step: Any) -> Any:
    return Pipeline([("first", step), ("last", LogisticRegression(max_iter=500))])


@pytest.mark.parametrize(
    ("make", "text", "advice"),
    [
        (lambda: chain(StandardScaler()), "the step 'first' can't be saved: it is not fitted", "call fit()"),
        (
            lambda: chain(ColumnTransformer([("a", StandardScaler(), [0])])),
            "the step 'first' can't be saved: it is not fitted",
            "call fit()",
        ),
        (
            lambda: LogisticRegression(max_iter=500).fit(FEATURES, CLASSES),
            "a sklearn.linear_model._logistic.LogisticRegression can't be saved: it is no sklearn.pipeline.Pipeline",
            "client.save(op, fitted, format='skops') saves one estimator",
        ),
        (
            lambda: ColumnTransformer([("a", StandardScaler(), [0])]).fit(FEATURES),
            "ColumnTransformer can't be saved: it is no sklearn.pipeline.Pipeline",
            "save_pipeline(client, name, sklearn.pipeline.make_pipeline(fitted))",
        ),
        (
            lambda: GridSearchCV(chain(StandardScaler()), {"last__C": [1]}, cv=2).fit(FEATURES, CLASSES),
            "GridSearchCV can't be saved: it is no sklearn.pipeline.Pipeline",
            "save_pipeline(client, name, fitted.best_estimator_)",
        ),
        (
            lambda: OwnPipeline([("a", LogisticRegression(max_iter=500))]).fit(FEATURES, CLASSES),
            "it is a subclass of sklearn.pipeline.Pipeline",
            "save sklearn.pipeline.Pipeline(fitted.steps)",
        ),
        (lambda: Pipeline([]), "the pipeline can't be saved: it has no steps", None),
        (
            lambda: chain(FunctionTransformer(lambda features: features)).fit(FEATURES, CLASSES),
            "the step 'first' (a sklearn.preprocessing._function_transformer.FunctionTransformer) can't be saved",
            "define its classes and functions in a module",
        ),
        (
            lambda: chain(ColumnTransformer([("a", StandardScaler(), lambda _: [0])])).fit(FEATURES, CLASSES),
            "the step 'first' (a sklearn.compose._column_transformer.ColumnTransformer) can't be saved: ",
            "define its classes and functions in a module",
        ),
        (
            lambda: chain(local_class()).fit(FEATURES, CLASSES),
            "the step 'first' (a tests.cli.sklearn.test_refusals.local_class.<locals>.Local) can't be saved",
            "define its classes and functions in a module",
        ),
        (
            lambda: chain(Birch()).fit(FEATURES, CLASSES),
            "the step 'first' (a sklearn.cluster._birch.Birch) can't be saved: UnsupportedTypeException",
            "pass format='cloudpickle'",
        ),
        (
            lambda: chain(Unfinished()).fit(FEATURES, CLASSES),
            "Unfinished) can't be saved: RuntimeError: no state today",
            "pass format='cloudpickle'",
        ),
        (
            refit_alone,
            "the step 'logisticregression' can't be saved: it was fitted on 2 features, and 'pca' before it gives 3",
            "fit the steps together",
        ),
    ],
)
def test_what_cannot_be_saved_is_refused_and_nothing_is_stored(
    client: OpStoreClient, make: Any, text: str, advice: str | None
) -> None:
    with pytest.raises(errors.EstimatorRefused) as caught:
        save_pipeline(client, "p", make())
    assert text in caught.value.text
    assert (caught.value.__notes__ or [""])[0].startswith(advice or "")
    assert client.ops() == []


@pytest.mark.parametrize("fitted", ["a pipeline", None, [StandardScaler()], {"steps": []}, np.eye(2), Pipeline])
def test_what_is_no_estimator_is_a_wrong_argument(client: OpStoreClient, fitted: Any) -> None:
    with pytest.raises(TypeError, match=r"fitted must be a fitted sklearn\.pipeline\.Pipeline, not a"):
        save_pipeline(client, "p", fitted)


def test_too_many_steps_are_refused(client: OpStoreClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph, "MAX_OPS", 4)
    steps = [(f"step{number}", StandardScaler()) for number in range(3)]
    fitted = Pipeline([*steps, ("last", LogisticRegression(max_iter=500))]).fit(FEATURES, CLASSES)
    with pytest.raises(errors.EstimatorRefused, match="it has more than 3 steps, or 10,000 connections"):
        save_pipeline(client, "p", fitted)
    assert save_pipeline(client, "p", Pipeline(fitted.steps[1:])).steps


def test_a_graph_that_no_request_can_have_is_refused_before_anything_is_stored(
    client: OpStoreClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MAX_JSON", 1100)
    with pytest.raises(errors.EstimatorRefused, match=r"its graph has 1.. bytes, more than a request may have"):
        save_pipeline(client, "p", pca_and_forest())
    assert client.ops() == []


def test_a_class_of_a_script_is_saved_with_a_warning(client: OpStoreClient, monkeypatch: pytest.MonkeyPatch) -> None:
    fitted = chain(Centred()).fit(FEATURES, CLASSES)
    monkeypatch.setattr(Centred, "__module__", "__main__")
    monkeypatch.setattr(sys.modules["__main__"], "Centred", Centred, raising=False)
    text = (
        r"only a program that defines them itself can load these steps of p: first \(Centred\); define them in a module"
    )
    with pytest.warns(UserWarning, match=text):
        save_pipeline(client, "p", fitted)
    assert load_pipeline(client, "p", trusted="__main__.Centred").steps


@pytest.mark.parametrize("name", ["json", "numpy", "nothing", ""])
def test_a_format_that_is_not_for_estimators_is_refused(client: OpStoreClient, name: str) -> None:
    with pytest.raises(errors.UnknownFormat, match="choose one of skops, joblib, cloudpickle, pickle"):
        save_pipeline(client, "p", pca_and_forest(), format=name)


@pytest.mark.parametrize("call", [save_pipeline, load_pipeline])
def test_without_the_library_the_error_names_the_extra(
    client: OpStoreClient, call: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.pipeline", None)
    with pytest.raises(errors.LibraryMissing) as caught:
        call(client, "p", *([None] if call is save_pipeline else []))
    assert caught.value.__notes__ == ["pip install 'opstore[sklearn]'"]
