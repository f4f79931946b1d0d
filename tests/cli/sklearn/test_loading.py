"""A pipeline is loaded as it was saved, from versions that are valid together."""

import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn.base
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.utils.estimator_checks import check_is_fitted

from opstore_cli import LibraryWarning, OpStoreClient
from opstore_cli.objects import libraries
from opstore_cli.sklearn import SkippedVersionsWarning, load_pipeline, save_pipeline
from opstore_daemon.protocol import errors
from tests.cli.sklearn.models import (
    CLASSES,
    FEATURES,
    FRAME,
    TREE,
    Centred,
    branches,
    pca_and_forest,
    rooted,
    scaled,
)
from tests.support.figures import few

OLD = {"scikit-learn": "0.24.2"}
OWN = "tests.cli.sklearn.models.Centred"


def with_output() -> Any:
    return make_pipeline(StandardScaler(), LogisticRegression()).set_output(transform="pandas").fit(FRAME, CLASSES)


def searched() -> Any:
    search = GridSearchCV(
        make_pipeline(StandardScaler(), LogisticRegression()), {"logisticregression__C": [1, 2]}, cv=2
    )
    return make_pipeline(PCA(2), search).fit(FEATURES, CLASSES)


def transforming() -> Any:
    """A pipeline without a predictor, that ends with a union."""
    union = FeatureUnion([("pca", PCA(1)), ("own", Centred())], n_jobs=1, transformer_weights={"own": 3})
    return Pipeline([("scale", StandardScaler()), ("union", union)], verbose=False).fit(FEATURES)


@pytest.mark.parametrize(
    ("name", "make"),
    [
        *(("skops", make) for make in (pca_and_forest, branches, searched, transforming)),
        *(pytest.param("skops", make, marks=pytest.mark.slow) for make in (scaled, rooted, with_output)),
        *(pytest.param("joblib", make, marks=pytest.mark.slow) for make in (branches, searched)),
    ],
)
def test_a_loaded_pipeline_has_the_same_results_and_parameters(client: OpStoreClient, name: str, make: Any) -> None:
    fitted = make()
    data = FRAME if make in (branches, with_output) else FEATURES
    search = ["sklearn.metrics._scorer._PassthroughScorer", "sklearn.model_selection._split.StratifiedKFold"]
    trusted = [TREE, OWN, *search]
    save_pipeline(client, "p", fitted, format=name)
    consent: dict[str, Any] = {"trusted": trusted} if name == "skops" else {"allow_pickle": True}
    loaded = load_pipeline(client, "p", **consent)
    assert type(loaded) is Pipeline
    check_is_fitted(loaded)
    results = [each.transform(data) if make is transforming else each.predict_proba(data) for each in (fitted, loaded)]
    assert np.array_equal(*results)
    assert described(loaded) == described(fitted)
    assert list(getattr(loaded, "feature_names_in_", [])) == list(getattr(fitted, "feature_names_in_", []))
    assert all(type(one) is type(other) for one, other in zip(fitted, loaded, strict=True))


def described(estimator: Any) -> dict[str, Any]:
    """Return all parameters as text, without addresses in memory."""
    selector = "<sklearn.compose._column_transformer.make_column_selector object"
    return {
        name: str(getattr(value, "__dict__", value)) if str(value).startswith(selector) else type(value).__name__
        if selector in str(value) else str(value)
        for name, value in estimator.get_params().items()
    }  # fmt: skip


@pytest.mark.parametrize(
    "selected",
    few(
        1,
        [
            FRAME.columns[2:].rename("petal"),
            FRAME.dtypes == "float64",
            FRAME.columns.values[1:3],
            pd.array(["sepal length (cm)"], dtype="string"),
            *(
                pytest.param(further, marks=pytest.mark.slow)
                for further in (
                    FRAME.columns[:2],
                    pd.Index([0, 3]),
                    np.array([True, False, False, True]),
                    np.array(["sepal length (cm)"]),
                    slice("sepal length (cm)", "petal length (cm)"),
                )
            ),
        ],
    ),
    ids=str,
)
def test_columns_are_selected_by_any_object(client: OpStoreClient, selected: Any) -> None:
    columns = ColumnTransformer([("scale", StandardScaler(), selected)], remainder="passthrough")
    fitted = make_pipeline(columns, LogisticRegression(max_iter=500)).fit(FRAME, CLASSES)
    save_pipeline(client, "p", fitted)
    loaded = load_pipeline(client, "p")
    assert (loaded.predict_proba(FRAME) == fitted.predict_proba(FRAME)).all()
    assert str(loaded.get_params()) == str(fitted.get_params())
    assert not any(version.created for version in save_pipeline(client, "p", loaded))


def test_memory_and_verbosity_are_parameters_of_the_structure(client: OpStoreClient, tmp_path: Path) -> None:
    steps = [("pca", PCA(2)), ("last", LogisticRegression())]
    fitted = Pipeline(steps, memory=str(tmp_path / "memory"), verbose=True).fit(FEATURES, CLASSES)
    save_pipeline(client, "p", fitted)
    loaded = load_pipeline(client, "p")
    assert (loaded.memory, loaded.verbose) == (str(tmp_path / "memory"), True)
    fitted.memory = joblib.Memory(tmp_path / "other", verbose=0)
    saved = save_pipeline(client, "p", fitted, format="joblib")
    assert saved[0].created
    assert load_pipeline(client, "p", latest=True, allow_pickle=True).memory.location == tmp_path / "other"


def test_a_newer_version_that_is_not_validated_is_skipped_with_a_warning(client: OpStoreClient) -> None:
    fitted = scaled()
    save_pipeline(client, "iris", fitted)
    client.save("iris.scale", StandardScaler().fit(FEATURES[:100]), format="skops")
    with pytest.warns(SkippedVersionsWarning) as caught:
        loaded = load_pipeline(client, "iris")
    assert (loaded.predict_proba(FEATURES) == fitted.predict_proba(FEATURES)).all()
    assert len(caught) == 1
    assert str(caught[0].message).startswith("newer versions in iris were not loaded: iris.scale@1.0.1: ")
    assert caught[0].filename == __file__


def test_versions_that_nobody_validated_together_are_refused_with_the_reason(client: OpStoreClient) -> None:
    save_pipeline(client, "iris", pca_and_forest())
    client.save("iris.pca", PCA(2).fit(FEATURES[:100]), format="skops")
    with pytest.raises(errors.NoSet) as caught:
        load_pipeline(client, "iris", latest=True)
    assert (
        caught.value.text
        == (
            "the latest versions of iris are not valid together: iris.structure@1.0.0 -> iris.pca@1.0.1: "
            "iris.structure 1.0.0 is not validated for iris.pca 1.0.1; it is validated for iris.pca 1.0.0; "
            "iris.pca@1.0.1 -> iris.forest@1.0.0: iris.pca 1.0.1 is not validated for iris.forest 1.0.0; "
            "validated is iris.pca 1.0.0"
        )
        or "iris.pca 1.0.1 is not validated for iris.forest 1.0.0" in caught.value.text
    )
    assert caught.value.__notes__[-1].startswith("client.validate_pipeline('iris') has the verdict of each edge")
    with pytest.raises(errors.NoSet, match=r"no set of versions of iris is valid with iris\.pca@1\.0\.1: iris\.pca 1"):
        load_pipeline(client, "iris", use="iris.pca@1.0.1")
    client.link("iris.structure@1.0.0", "iris.pca@1.0.1")
    client.link("iris.pca@1.0.1", "iris.forest@1.0.0")
    for chosen in ({"latest": True}, {"use": "iris.pca@1.0.1"}, {}):
        assert load_pipeline(client, "iris", trusted=[TREE], **chosen)[0].mean_[0] != pca_and_forest()[0].mean_[0]


def test_a_lock_is_loaded_as_it_pins_or_refused_with_its_findings(client: OpStoreClient, tmp_path: Path) -> None:
    fitted = scaled()
    save_pipeline(client, "iris", fitted)
    resolution = client.resolve("iris")
    client.write_lock(resolution, tmp_path / "opstore.lock")
    save_pipeline(client, "iris", scaled(slice(0, 140)))
    for lock in (resolution.lock(), tmp_path / "opstore.lock", str(tmp_path / "opstore.lock")):
        loaded = load_pipeline(client, "iris", lock)
        assert (loaded.predict_proba(FEATURES) == fitted.predict_proba(FEATURES)).all()
    client.yank("iris.scale@1.0.0", "wrong rows")
    with pytest.raises(errors.LockStale) as caught:
        load_pipeline(client, "iris", tmp_path / "opstore.lock")
    finding = "iris.scale@1.0.0 is yanked: wrong rows"
    assert caught.value.text == f"the lock {tmp_path / 'opstore.lock'} no longer holds: {finding}"
    with pytest.raises(errors.LockStale, match=f"^the lock no longer holds: {finding}"):
        load_pipeline(client, "iris", resolution.lock())


def test_a_past_state_is_loaded(client: OpStoreClient) -> None:
    fitted = scaled()
    before = client.push("other", b"x").position
    save_pipeline(client, "iris", fitted)
    position = client.log(limit=1)[0].position
    save_pipeline(client, "iris", scaled(slice(0, 140)))
    loaded = load_pipeline(client, "iris", as_of=position)
    assert (loaded.predict_proba(FEATURES) == fitted.predict_proba(FEATURES)).all()
    assert load_pipeline(client, "iris", None, position, latest=True).steps
    with pytest.raises(errors.PipelineNotFound, match="there was no pipeline iris at"):
        load_pipeline(client, "iris", as_of=before)


def test_types_that_nobody_trusts_are_named_all_at_once(client: OpStoreClient) -> None:
    fitted = make_pipeline(Centred(), pca_and_forest().set_params(forest__n_estimators=2)).fit(FEATURES, CLASSES)
    save_pipeline(client, "p", fitted)
    with pytest.raises(errors.UntrustedTypes) as caught:
        load_pipeline(client, "p")
    assert caught.value.text == (
        f"p holds types that skops does not trust by default: {TREE} (p.pipeline.forest); {OWN} (p.centred)"
    )
    assert caught.value.__notes__ == [f"if you trust whoever can push here, pass trusted={[TREE, OWN]}"]
    loaded = load_pipeline(client, "p", trusted=[TREE, Centred])
    assert (loaded.predict_proba(FEATURES) == fitted.predict_proba(FEATURES)).all()


def test_a_function_of_a_module_is_loaded_if_it_is_trusted(client: OpStoreClient) -> None:
    fitted = make_pipeline(FunctionTransformer(np.sqrt), FunctionTransformer(twice), LogisticRegression(max_iter=500))
    fitted.fit(FEATURES, CLASSES)
    save_pipeline(client, "p", fitted)
    with pytest.raises(errors.UntrustedTypes, match=r"tests\.cli\.sklearn\.test_loading\.twice \(p\.structure\)"):
        load_pipeline(client, "p")
    loaded = load_pipeline(client, "p", trusted=f"{__name__}.twice")
    assert (loaded.predict_proba(FEATURES) == fitted.predict_proba(FEATURES)).all()


def twice(features: Any) -> Any:
    return features * 2


def test_a_format_that_runs_code_needs_consent(client: OpStoreClient) -> None:
    save_pipeline(client, "p", scaled(), format="joblib")
    for refused in (None, False):
        with pytest.raises(errors.LoadingRunsCode):
            load_pipeline(client, "p", allow_pickle=refused)
    with pytest.raises(TypeError, match="allow_pickle must be True or False, not"):
        load_pipeline(client, "p", allow_pickle="no")  # type: ignore[arg-type]
    assert load_pipeline(client, "p", allow_pickle=True).steps


def test_another_format_is_another_version(client: OpStoreClient) -> None:
    save_pipeline(client, "p", scaled())
    saved = save_pipeline(client, "p", scaled(), format="cloudpickle")
    assert [str(version) for version in saved if version.created and version.digest] == [
        "p.structure@1.0.1",
        "p.scale@1.0.1",
        "p.classify@1.0.1",
    ]
    assert load_pipeline(client, "p", latest=True, allow_pickle=True).steps


def test_other_libraries_are_one_warning_for_all_steps(client: OpStoreClient) -> None:
    saved = save_pipeline(client, "p", scaled())
    old: list[Any] = []
    for op in ("p.structure", "p.scale", "p.classify"):
        data, upstreams = client.pull(op), [str(each) for each in old]
        old.append(client.push(op, data, format="skops", new=True, libraries=OLD, valid_with=upstreams))
    for upstream, downstream in saved.edges:
        client.link(upstream, downstream)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        load_pipeline(client, "p", latest=True)
    assert [warning.category for warning in caught] == [LibraryWarning]
    assert str(caught[0].message).startswith("p was saved with scikit-learn 0.24.2 (here ")


def test_an_older_scikit_learn_is_one_warning(client: OpStoreClient, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(sklearn.base, "__version__", "1.2.3")
        patched.setattr(libraries, "installed", lambda name: "1.2.3" if name == "scikit-learn" else None)
        save_pipeline(client, "p", scaled())
    with pytest.warns() as caught:
        load_pipeline(client, "p")
    assert [warning.category for warning in caught] == [LibraryWarning]


def test_a_pipeline_of_other_ops_is_no_saved_pipeline(client: OpStoreClient) -> None:
    client.save("a", {"x": 1})
    client.save("b", {"x": 2}, valid_with=["a"])
    client.register_pipeline("p", ["a", "b"])
    with pytest.raises(errors.PipelineNotSaved) as caught:
        load_pipeline(client, "p")
    assert (
        caught.value.text == "the pipeline p was not saved by save_pipeline(): it has no stored version of p.structure"
    )


def loop() -> Any:
    """A structure that would take forever to walk through: each level has the next one twice."""
    inner: Any = Pipeline([("a", "p.scale")])
    for _ in range(40):
        inner = Pipeline([("a", inner), ("b", inner)])
    return {"format": 1, "ops": {}, "pipeline": inner}


@pytest.mark.parametrize(
    ("document", "reason"),
    few(
        2,
        [
            ({"format": 2, "ops": {}, "pipeline": scaled()}, "it is no structure of a pipeline of the format 1"),
            ([1, 2], "it is no structure of a pipeline of the format 1"),
            ({"format": 1, "ops": {}, "pipeline": LogisticRegression()}, "it has no pipeline"),
            (
                {"format": 1, "ops": {"a": "other"}, "pipeline": Pipeline([("a", "other")])},
                "which the pipeline does not",
            ),
            ({"format": 1, "ops": {}, "pipeline": Pipeline([1, 2])}, "it is no structure of a pipeline"),
            (loop(), "it is nested more than 50 levels deep, or has more than 10000 places"),
        ],
    ),
    ids=["format", "list", "bare", "other op", "no steps", "loop"],
)
def test_a_structure_that_somebody_else_wrote_is_refused(client: OpStoreClient, document: Any, reason: str) -> None:
    save_pipeline(client, "p", scaled())
    client.save("p.structure", document, format="joblib", valid_for=["p.scale", "p.normalize"])
    with pytest.raises(errors.NotLoaded) as caught:
        load_pipeline(client, "p", latest=True, allow_pickle=True)
    assert reason in caught.value.text


@pytest.mark.parametrize("client", [None, "iris", OpStoreClient])
def test_the_client_comes_first(client: Any) -> None:
    for call in (save_pipeline, load_pipeline):
        with pytest.raises(TypeError, match="client must be an OpStoreClient, not a ") as caught:
            call(client, "p", None)
        assert caught.value.__notes__[0].startswith("the client comes first: save_pipeline(client, name, fitted)")


def test_what_excludes_each_other_is_a_wrong_call(client: OpStoreClient) -> None:
    save_pipeline(client, "p", scaled())
    lock = client.resolve("p").lock()
    for named in ({"as_of": 3}, {"use": "p.scale@1.0.0"}, {"latest": True}):
        with pytest.raises(errors.InvalidRequest, match=r"lock and .* are mutually exclusive"):
            load_pipeline(client, "p", lock, **named)
    with pytest.raises(errors.InvalidRequest, match="use and latest are mutually exclusive"):
        load_pipeline(client, "p", use="p.scale@1.0.0", latest=True)


@pytest.mark.process
def test_the_package_imports_no_library_before_it_is_used() -> None:
    program = "import sys, opstore_cli.sklearn; print({'sklearn', 'skops', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
