"""Typical objects to store: fitted pipelines, forests and vocabularies."""

import io
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from opstore_cli.objects import formats

FEATURES, CLASSES = load_iris(return_X_y=True)
TEXTS = ["a green apple", "a red apple", "two pears", "no fruit at all"]
TREES = [
    "sklearn.tree._tree.Tree",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.ensemble._hist_gradient_boosting.binning._BinMapper",
]


def pipeline() -> Pipeline:
    """Return a scaler, a PCA and a regression, fitted to the iris data."""
    return make_pipeline(StandardScaler(), PCA(2, random_state=0), LogisticRegression()).fit(FEATURES, CLASSES)


def columns() -> Pipeline:
    """Return a pipeline with a nested transformer."""
    scaled = ColumnTransformer([("scaled", StandardScaler(), [0, 1]), ("rest", "passthrough", [2, 3])])
    return Pipeline([("columns", scaled), ("model", LogisticRegression(max_iter=500))]).fit(FEATURES, CLASSES)


def forest() -> RandomForestClassifier:
    """Return a small random forest."""
    return RandomForestClassifier(n_estimators=10, random_state=0).fit(FEATURES, CLASSES)


def boosting() -> HistGradientBoostingClassifier:
    """Return boosted trees."""
    return HistGradientBoostingClassifier(max_iter=5, random_state=0).fit(FEATURES, CLASSES)


MODELS: dict[str, Callable[[], Any]] = {
    "pipeline": pipeline,
    "columns": columns,
    "forest": forest,
    "boosting": boosting,
}


def with_each_format(names: Iterable[str]) -> Iterator[object]:
    """Yield each model with each format. In the fast tests each model and each format occurs once."""
    for at, name in enumerate(names):
        for number, model in enumerate(MODELS):
            is_fast = at % len(MODELS) == number
            yield pytest.param(model, name, marks=[] if is_fast else pytest.mark.slow)


def words() -> TfidfVectorizer:
    """Return a vocabulary with its weights: a dict, and a sparse matrix."""
    return TfidfVectorizer().fit(TEXTS)


def predictions(model: Any) -> Any:
    return model.predict_proba(FEATURES)


def dumped(obj: object, name: str) -> bytes:
    """Return the bytes of the object in that format."""
    file = io.BytesIO()
    formats.dump(formats.by_name(name), obj, file)
    return file.getvalue()


def same(one: Any, other: Any) -> bool:
    """Return whether two arrays are equal in type, shape and values."""
    return bool(
        type(one) is type(other) is np.ndarray
        and one.dtype == other.dtype
        and one.shape == other.shape
        and one.tobytes() == other.tobytes()
    )
