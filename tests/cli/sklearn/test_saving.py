"""Each step is an op, and the steps that were fitted together are linked."""

import re
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.feature_extraction.text import HashingVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression, PoissonRegressor
from sklearn.neighbors import KNeighborsClassifier, KNeighborsTransformer
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from opstore_cli import OpStoreClient
from opstore_cli.sklearn import load_pipeline, save_pipeline
from opstore_daemon.protocol import errors
from tests.cli.sklearn.models import CLASSES, FEATURES, FRAME, TREE, branches, pca_and_forest, scaled
from tests.support.figures import few

TREES = ["sklearn.metrics._dist_metrics.EuclideanDistance64", "sklearn.neighbors._kd_tree.KDTree"]


def test_each_step_is_an_op_linked_with_what_it_was_fitted_with(client: OpStoreClient) -> None:
    saved = save_pipeline(client, "iris", pca_and_forest())
    assert [str(version) for version in saved] == ["iris.structure@1.0.0", "iris.pca@1.0.0", "iris.forest@1.0.0"]
    assert saved.references == {"pca": "iris.pca@1.0.0", "forest": "iris.forest@1.0.0"}
    assert saved["pca"] == saved[1]
    edges = (("iris.structure", "iris.pca"), ("iris.pca", "iris.forest"))
    assert client.pipeline("iris").edges == saved.edges
    assert set(saved.edges) == set(edges)
    assert {str(link) for link in client.links()} == {
        "iris.structure@1.0.0 -> iris.pca@1.0.0: valid",
        "iris.pca@1.0.0 -> iris.forest@1.0.0: valid",
    }
    assert client.validate_pipeline("iris")
    assert client.show("iris.pca").format == "skops"
    assert {"python", "scikit-learn", "skops", "numpy"} <= set(client.show("iris.forest").libraries)


def test_the_record_shows_well(client: OpStoreClient) -> None:
    saved = save_pipeline(client, "iris", pca_and_forest())
    versions = "iris.structure@1.0.0 iris.pca@1.0.0 iris.forest@1.0.0"
    assert repr(saved) == f"<SavedPipeline iris, 3 new of 3 versions, {versions}>"
    assert saved._repr_html_().count("<tr>") == 4
    assert saved.to_dict()["steps"] == {"pca": "iris.pca", "forest": "iris.forest"}


def test_a_retrained_forest_on_an_unchanged_pca_is_one_version_and_one_link(client: OpStoreClient) -> None:
    save_pipeline(client, "iris", pca_and_forest())
    before = set(map(str, client.links()))
    saved = save_pipeline(client, "iris", pca_and_forest(seed=1))
    assert [version.created for version in saved] == [False, False, True]
    assert set(map(str, client.links())) - before == {"iris.pca@1.0.0 -> iris.forest@1.0.1: valid"}


@pytest.mark.parametrize("make", few(1, [pca_and_forest, branches]))
def test_nothing_is_new_for_the_same_steps_fitted_again_or_loaded(client: OpStoreClient, make: Any) -> None:
    save_pipeline(client, "iris", make())
    position = client.log(limit=1)[0].position
    loaded = load_pipeline(client, "iris", trusted=[TREE])
    for same in (make(), loaded):
        assert not any(version.created for version in save_pipeline(client, "iris", same))
    assert client.log(limit=1)[0].position == position


def test_a_text_vectorizer_that_is_fitted_again_on_the_same_texts_is_unchanged(client: OpStoreClient) -> None:
    texts, classes = ["a good day", "a bad night", "good", "bad"], [1, 0, 1, 0]
    for created in (True, False):
        words = TfidfVectorizer(stop_words=["a", "the"])  # scikit-learn keeps the address of the list
        fitted = Pipeline([("words", words), ("classify", LogisticRegression())]).fit(texts, classes)
        assert [version.created for version in save_pipeline(client, "mood", fitted)] == [created] * 3
        assert (load_pipeline(client, "mood").predict_proba(texts) == fitted.predict_proba(texts)).all()
    assert fitted[0]._stop_words_id, "the fitted object stays as it was"


def test_a_pipeline_that_was_used_or_loaded_is_unchanged(client: OpStoreClient) -> None:
    """scikit-learn counts the queries of a search tree, and its numbers are other objects after a load."""
    steps = [("neighbours", KNeighborsTransformer(n_neighbors=5)), ("classify", KNeighborsClassifier())]
    fitted = Pipeline([*steps[:1], ("reduce", TruncatedSVD(2, random_state=0)), *steps[1:]]).fit(FEATURES, CLASSES)
    save_pipeline(client, "p", fitted)
    fitted.predict(FEATURES[:7])
    loaded = load_pipeline(client, "p", trusted=TREES)
    loaded.predict(FEATURES[:9])
    for same in (fitted, loaded):
        assert not any(version.created for version in save_pipeline(client, "p", same))


def test_what_transforming_leaves_in_a_step_without_state_is_not_saved(client: OpStoreClient) -> None:
    texts, classes = ["a good day", "a bad night", "good", "bad"], [1, 0, 1, 0]
    hashed = HashingVectorizer(n_features=8, stop_words=["a"])
    fitted = Pipeline([("words", hashed), ("classify", LogisticRegression())]).fit(texts, classes)
    saved = save_pipeline(client, "p", fitted)
    fitted.predict(texts)
    assert saved["words"].digest is None
    assert not any(version.created for version in save_pipeline(client, "p", fitted))


@pytest.mark.parametrize("make", [lambda: PoissonRegressor(), lambda: GradientBoostingRegressor(n_estimators=2)])
def test_a_regressor_that_was_loaded_has_the_same_bytes(client: OpStoreClient, make: Any) -> None:
    save_pipeline(client, "p", Pipeline([("regress", make())]).fit(FEATURES, CLASSES))
    loaded = load_pipeline(client, "p", trusted=TREE)
    assert not any(version.created for version in save_pipeline(client, "p", loaded))


def test_a_step_without_state_is_registered_and_what_surrounds_it_is_linked(client: OpStoreClient) -> None:
    saved = save_pipeline(client, "iris", scaled())
    assert saved["normalize"].digest is None
    assert {edge for edge in saved.edges if "iris.structure" not in edge} == {
        ("iris.scale", "iris.normalize"),
        ("iris.scale", "iris.classify"),
        ("iris.normalize", "iris.classify"),
    }
    again = save_pipeline(client, "iris", scaled(slice(0, 140)))
    assert [each.op for each in again if each.created] == ["iris.scale", "iris.classify"]
    with pytest.raises(errors.NoSet):  # the new scaler was never fitted with the old classifier
        load_pipeline(client, "iris", use=["iris.scale@1.0.1", "iris.classify@1.0.0"])


def test_other_parameters_of_a_step_without_state_are_another_version_of_it(client: OpStoreClient) -> None:
    fitted = scaled()
    save_pipeline(client, "iris", fitted)
    fitted.set_params(normalize__norm="l1").fit(FEATURES, CLASSES)
    saved = save_pipeline(client, "iris", fitted)
    assert saved["normalize"].version == "1.1.0"
    assert load_pipeline(client, "iris").get_params()["normalize__norm"] == "l1"


@pytest.mark.slow
def test_a_pipeline_that_is_saved_again_after_another_one_is_the_latest(client: OpStoreClient) -> None:
    first, other = scaled(), scaled(slice(0, 140)).set_params(normalize__norm="l1").fit(FEATURES[:140], CLASSES[:140])
    for fitted, count in ((first, 4), (other, 4), (first, 4), (first, 0), (other, 4), (first, 4), (first, 0)):
        assert sum(version.created for version in save_pipeline(client, "iris", fitted)) == count
        loaded = load_pipeline(client, "iris", latest=True)
        assert (loaded.predict_proba(FEATURES) == fitted.predict_proba(FEATURES)).all()


def test_a_step_without_state_is_stored_if_its_op_has_stored_versions(client: OpStoreClient) -> None:
    fitted = scaled()
    save_pipeline(client, "iris", fitted)
    fitted.set_params(scale="passthrough").fit(FEATURES, CLASSES)
    saved = save_pipeline(client, "iris", fitted)
    assert saved["scale"].digest is not None, "a version without bytes would never be the latest"
    assert load_pipeline(client, "iris", latest=True).steps[0] == ("scale", "passthrough")


def test_nested_parts_are_a_graph_along_the_data(client: OpStoreClient) -> None:
    saved = save_pipeline(client, "p", branches())
    assert list(saved.steps) == [
        "columns__sepal__scale",
        "columns__sepal__more__pca",
        "columns__sepal__more__as_is",
        "columns__length",
        "columns__remainder",
        "nothing",
        "classify",
    ]
    short = [tuple(end.removeprefix("p.").removeprefix("columns.") for end in edge) for edge in saved.edges]
    assert {edge for edge in short if edge[0] != "structure"} == {
        ("sepal.scale", "sepal.more.pca"),
        ("sepal.scale", "sepal.more.as_is"),
        ("sepal.more.pca", "nothing"),
        ("sepal.more.as_is", "nothing"),
        ("length", "nothing"),
        ("remainder", "nothing"),
        ("sepal.scale", "classify"),
        ("sepal.more.pca", "classify"),
        ("sepal.more.as_is", "classify"),
        ("length", "classify"),
        ("remainder", "classify"),
        ("nothing", "classify"),
    }
    stateless = {"sepal.more.as_is", "length", "nothing"}
    assert {down for up, down in short if up == "structure"} == {"sepal.scale", "remainder", "classify"} | stateless


def test_a_changed_structure_is_a_new_version_and_not_valid_for_what_was_fitted_before(client: OpStoreClient) -> None:
    save_pipeline(client, "iris", branches())
    saved = save_pipeline(client, "iris", branches(weight=2.0))
    assert [each.op for each in saved if each.created] == ["iris.structure", "iris.classify"]
    with pytest.raises(errors.NoSet):
        load_pipeline(client, "iris", use=["iris.structure@1.0.1", "iris.classify@1.0.0"])


@pytest.mark.slow
def test_a_changed_parameter_of_a_branch_does_not_change_the_structure(client: OpStoreClient) -> None:
    save_pipeline(client, "iris", branches())
    other = branches().set_params(columns__remainder__clip=True).fit(FRAME, CLASSES)
    saved = save_pipeline(client, "iris", other)
    assert [each.op for each in saved if each.created] == ["iris.columns.remainder"]
    assert load_pipeline(client, "iris", latest=True).get_params()["columns__remainder__clip"] is True


@pytest.mark.parametrize("count", [0, 2])
def test_an_interrupted_first_save_leaves_no_pipeline(client: OpStoreClient, count: int) -> None:
    with pytest.raises(KeyboardInterrupt):
        interrupted_after(client, count, pca_and_forest())
    with pytest.raises(errors.PipelineNotFound):
        load_pipeline(client, "iris")


@pytest.mark.parametrize("count", few(1, range(3)))
@pytest.mark.filterwarnings("ignore::opstore_cli.sklearn.SkippedVersionsWarning")
def test_an_interrupted_save_leaves_the_earlier_set_as_the_valid_one(client: OpStoreClient, count: int) -> None:
    first, second = pca_and_forest(), pca_and_forest(seed=1, components=3)
    save_pipeline(client, "iris", first)
    with pytest.raises(KeyboardInterrupt):
        interrupted_after(client, count, second)
    loaded = load_pipeline(client, "iris", trusted=[TREE])
    assert (loaded.predict_proba(FEATURES) == first.predict_proba(FEATURES)).all()
    save_pipeline(client, "iris", second)
    loaded = load_pipeline(client, "iris", latest=True, trusted=[TREE])
    assert (loaded.predict_proba(FEATURES) == second.predict_proba(FEATURES)).all()


def interrupted_after(client: OpStoreClient, count: int, fitted: Any) -> None:
    """Save a pipeline with a push that is interrupted after so many succeeded."""
    left, push = [count], client.push

    def counted(*given: Any, **named: Any) -> Any:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        return push(*given, **named)

    client.push = counted  # type: ignore[method-assign]
    try:
        save_pipeline(client, "iris", fitted)
    finally:
        del client.push


def test_two_that_save_at_once_leave_one_of_both_whole(client: OpStoreClient) -> None:
    made = [scaled(slice(0, rows)) for rows in (120, 130, 140, 150)]
    with ThreadPoolExecutor(len(made)) as pool:
        list(pool.map(lambda fitted: save_pipeline(client, "iris", fitted), made))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loaded = load_pipeline(client, "iris").predict_proba(FEATURES)
    assert any((loaded == fitted.predict_proba(FEATURES)).all() for fitted in made)


def test_a_link_that_is_known_to_be_invalid_stays_so_with_a_warning(client: OpStoreClient) -> None:
    fitted = pca_and_forest()
    save_pipeline(client, "iris", fitted)
    client.link("iris.pca@1.0.0", "iris.forest@1.0.0", valid=False)
    with pytest.warns(UserWarning, match=r"stay as they are, so iris is not valid as it was saved: iris\.pca@1\.0\.0"):
        saved = save_pipeline(client, "iris", fitted)
    assert [str(link) for link in saved.kept_invalid] == ["iris.pca@1.0.0 -> iris.forest@1.0.0: invalid"]


def test_a_pipeline_with_another_graph_is_a_conflict_before_anything_is_stored(client: OpStoreClient) -> None:
    save_pipeline(client, "iris", pca_and_forest())
    position = client.log(limit=1)[0].position
    with pytest.raises(errors.PipelineConflict) as caught:
        save_pipeline(client, "iris", scaled())
    assert client.log(limit=1)[0].position == position
    assert caught.value.__notes__ == ["client.pipeline('iris') returns that graph; pass another name for this one"]


def test_an_op_that_is_something_else_is_refused_before_anything_is_stored(client: OpStoreClient) -> None:
    client.save("iris.forest", {"accuracy": 1})
    with pytest.raises(errors.OpInUse, match=re.escape("iris.forest@1.0.0 is json, so iris.forest can't be a step")):
        save_pipeline(client, "iris", pca_and_forest())
    assert [op.name for op in client.ops()] == ["iris.forest"]


def test_a_function_that_names_fewer_features_than_it_gives_is_no_sign_of_another_fit(client: OpStoreClient) -> None:
    twice = FunctionTransformer(np.tile, kw_args={"reps": 2}, feature_names_out="one-to-one")
    inner = make_pipeline(StandardScaler(), twice)
    fitted = make_pipeline(inner, FeatureUnion([("inner", clone(inner))]), PCA(2)).fit(FEATURES)
    assert save_pipeline(client, "p", fitted).steps


def test_a_step_that_was_saved_alone_before_is_used(client: OpStoreClient) -> None:
    fitted = pca_and_forest()
    client.save("iris.pca", fitted[0], format="skops")
    saved = save_pipeline(client, "iris", fitted)
    assert [version.created for version in saved] == [True, False, True]
