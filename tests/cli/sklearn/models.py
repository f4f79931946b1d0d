"""Fitted pipelines, and a class of a user."""

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, Normalizer, StandardScaler

FRAME, CLASSES = load_iris(return_X_y=True, as_frame=True)
FEATURES = FRAME.to_numpy()
TREE = "sklearn.tree._tree.Tree"


class Centred(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """A transformer of a user."""

    def fit(self, features: Any, _classes: Any = None) -> "Centred":
        self.mean_ = np.mean(features, axis=0)
        return self

    def transform(self, features: Any) -> Any:
        return features - self.mean_


def pca_and_forest(seed: int = 0, components: int = 2) -> Any:
    forest = RandomForestClassifier(3, random_state=seed)
    return Pipeline([("pca", PCA(components)), ("forest", forest)]).fit(FEATURES, CLASSES)


def scaled(rows: slice = slice(None), **parameters: Any) -> Any:
    """A chain whose middle has no state."""
    steps = [("scale", StandardScaler()), ("normalize", Normalizer()), ("classify", LogisticRegression(**parameters))]
    return Pipeline(steps).fit(FEATURES[rows], CLASSES[rows])


def branches(weight: float = 1.0, **parameters: Any) -> Any:
    """A column transformer with a nested pipeline and a union, on data with names of columns."""
    numbers = Pipeline(
        [("scale", StandardScaler()), ("more", FeatureUnion([("pca", PCA(1)), ("as_is", "passthrough")]))]
    )
    columns = ColumnTransformer(
        [
            ("sepal", numbers, make_column_selector(pattern="sepal")),
            ("length", "passthrough", ["petal length (cm)"]),
            ("nothing", StandardScaler(), []),
            ("gone", "drop", slice(0, 1)),
        ],
        remainder=MinMaxScaler(),
        transformer_weights={"length": weight},
        verbose_feature_names_out=False,
    )
    last = LogisticRegression(max_iter=1000, **parameters)
    return Pipeline([("columns", columns), ("nothing", None), ("classify", last)]).fit(FRAME, CLASSES)


def rooted() -> Any:
    """A chain that begins with a step without state."""
    return make_pipeline(FunctionTransformer(np.sqrt), LogisticRegression(max_iter=1000)).fit(FEATURES, CLASSES)
