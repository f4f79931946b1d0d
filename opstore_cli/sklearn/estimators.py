"""What scikit-learn's estimators are: composite, without state, fitted."""

from typing import Any

from opstore_cli.objects.format import type_name
from opstore_cli.objects.libraries import require

# What `fit` or `transform` sets even if an estimator learns nothing. The structure of a pipeline has it.
_REMNANTS = frozenset(
    {"n_features_in_", "feature_names_in_", "_n_features_out", "_sklearn_output_config", "_stop_words_id"}
)


def library(module: str) -> Any:
    """Import and return a module of scikit-learn. Raises LibraryMissing, which names the extra."""
    return require(module, "sklearn", "a pipeline of scikit-learn")


def is_pipeline(estimator: object) -> bool:
    """Return whether it is exactly a Pipeline: a subclass may have more than its steps."""
    return type(estimator) is library("sklearn.pipeline").Pipeline


def is_union(estimator: object) -> bool:
    """Return whether it is exactly a FeatureUnion."""
    return type(estimator) is library("sklearn.pipeline").FeatureUnion


def is_columns(estimator: object) -> bool:
    """Return whether it is exactly a ColumnTransformer."""
    return type(estimator) is library("sklearn.compose").ColumnTransformer


def is_passed(estimator: object) -> bool:
    """Return whether a step passes its input on as it is."""
    return estimator is None or (isinstance(estimator, str) and estimator == "passthrough")


def is_dropped(estimator: object) -> bool:
    """Return whether a branch has no output."""
    return isinstance(estimator, str) and estimator == "drop"


def is_stateless(estimator: Any) -> bool:
    """Return whether a step is made of its parameters alone, such as a Normalizer or `passthrough`."""
    if is_passed(estimator):
        return True
    if not type_name(type(estimator)).startswith("sklearn.") or not hasattr(estimator, "get_params"):
        return False
    learned = set(vars(estimator)) - set(estimator.get_params(deep=False)) - _REMNANTS
    return not learned and not library("sklearn.utils").get_tags(estimator).requires_fit


def is_fitted(estimator: Any) -> bool:
    """Return whether an estimator was fitted. One of another library that learns nothing counts as fitted."""
    from_sklearn = type_name(type(estimator)).startswith("sklearn.")
    if not from_sklearn and not hasattr(estimator, "__sklearn_is_fitted__"):
        return True
    try:
        library("sklearn.utils.validation").check_is_fitted(estimator)
    except library("sklearn.exceptions").NotFittedError:
        return False
    return True


def features_in(estimator: Any) -> int | None:
    """Return how many features a step was fitted on, if it says so."""
    try:
        found = estimator.n_features_in_
    except Exception:  # noqa: BLE001 - a property of some class; then nobody knows
        return None
    return found if type(found) is int else None


def features_out(estimator: Any) -> int | None:
    """Return how many features a fitted transformer of scikit-learn gives, if that is known.

    A function, or a transformer of a user, may name another number of features than it gives, also within a join.
    """
    if is_stateless(estimator) or is_pipeline(estimator) or is_union(estimator) or is_columns(estimator):
        return None
    if not type_name(type(estimator)).startswith("sklearn."):
        return None
    try:
        return len(estimator.get_feature_names_out())
    except Exception:  # noqa: BLE001 - not every transformer has names for its features
        return None


def clone(estimator: Any) -> Any:
    """Return an unfitted copy with the same parameters. It may raise anything: classes of users are called."""
    return estimator if is_passed(estimator) else library("sklearn.base").clone(estimator)


def copied_without_init(estimator: Any) -> Any:
    """Return a shallow copy with the same attributes; its class is not asked to make it."""
    kind: Any = type(estimator)
    copied = kind.__new__(kind)
    copied.__dict__.update(vars(estimator))
    return copied
