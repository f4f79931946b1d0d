"""The formats of pandas, safetensors, xgboost, lightgbm and onnx, with these libraries if they are installed.

`pip install --group formats` installs all of them. Without them, test_missing_libraries.py covers the errors.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from opstore_cli import OpStoreClient
from opstore_daemon.protocol import errors

FEATURES = np.random.default_rng(0).normal(size=(60, 3))
CLASSES = (FEATURES[:, 0] > 0).astype(int)


def again(client: OpStoreClient, obj: Any, **options: Any) -> Any:
    """Save the object, check that the same one creates nothing new, and load it."""
    saved = client.save("object", obj, **options)
    assert not client.save("object", obj, **options).created
    assert saved.libraries
    return client.load("object")


def frames(pd: Any) -> list[Any]:
    times = pd.date_range("2026-01-01", periods=3, tz="Europe/Berlin")
    return [
        pd.DataFrame({"a": [1, 2, 3], "b": [0.1, np.nan, 3.0], "c": ["x", None, "z"], "d": [True, False, True]}),
        pd.DataFrame({"a": pd.Categorical(["x", "y", "x"], ordered=True)}, index=times),
        pd.DataFrame(
            {"a": np.arange(3, dtype="int8")}, index=pd.MultiIndex.from_tuples([(1, "a"), (1, "b"), (2, "a")])
        ),
        pd.DataFrame({"a": pd.array([1, None, 3], dtype="Int64"), "b": [[1], [2, 3], []]}).drop(columns="b"),
        pd.DataFrame(),
        pd.DataFrame({"a": []}),
    ]


def test_data_frames_and_series_are_restored_exactly_by_default(client: OpStoreClient) -> None:
    pd = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    for frame in frames(pd):
        pd.testing.assert_frame_equal(again(client, frame), frame, check_exact=True, check_freq=False)
        assert client.show("object").format == "parquet"
        assert set(client.show("object").libraries) == {"pandas", "pyarrow"}
    for name in ("target", None, 5):
        series = pd.Series([1.5, 2.5], index=["a", "b"], name=name)
        pd.testing.assert_series_equal(again(client, series), series, check_exact=True)


def test_a_frame_that_parquet_would_change_is_refused(client: OpStoreClient) -> None:
    pd = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")

    class Own(pd.DataFrame):  # type: ignore[misc,name-defined,unused-ignore]
        pass

    for changed in (
        pd.DataFrame({1: [1]}),
        pd.DataFrame({"a": [(1, 2), (3, 4)]}),
        pd.DataFrame({"a": [1, "x"]}),
        pd.DataFrame([[1, 2]], columns=["a", "a"]),
        pd.Series([1], name=("a", "b")),
        Own({"a": [1]}),
        [1],
    ):
        with pytest.raises(errors.ObjectRefused):
            client.save("object", changed, format="parquet")
    with pytest.raises(errors.FormatNeeded):
        client.save("object", Own({"a": [1]}))


def test_lists_of_records_are_data_frames(client: OpStoreClient) -> None:
    pd = pytest.importorskip("pandas")
    client.push("forest", b"trees")
    client.push("pca", b"one", labels={"run": "1"}, valid_for="forest@1.0.0")
    client.push("pca", b"two")
    frame = pd.DataFrame(client.versions("pca"))
    assert list(frame["version"]) == ["1.0.1", "1.0.0"]
    assert list(frame["size"]) == [3, 3]
    assert str(frame["registered_at"].dtype).startswith("datetime64")
    assert list(frame["labels"]) == [{}, {"run": "1"}]
    assert list(pd.DataFrame(client.ops())["name"]) == ["forest", "pca"]
    client.register_pipeline("iris", ["pca", "forest"])
    edges = pd.DataFrame(client.validate_pipeline("iris"))
    assert [str(each) for each in edges["upstream"]] == ["pca@1.0.1"]
    assert list(pd.DataFrame(client.links())["downstream"]) == ["forest"]


def test_safetensors_hold_arrays_of_numbers_in_any_layout(client: OpStoreClient) -> None:
    pytest.importorskip("safetensors")
    tensors = {
        "w": np.arange(6, dtype="float32").reshape(2, 3).T,
        "b": np.array(5, dtype="int64"),
        "e": np.zeros((0, 2)),
    }
    loaded = again(client, tensors, format="safetensors")
    assert set(loaded) == set(tensors)
    for name, array in tensors.items():
        assert loaded[name].dtype == array.dtype
        np.testing.assert_array_equal(loaded[name], array)
    for wrong in ([1], {1: np.eye(2)}, {"a": [1]}, {"a": np.array(["x"])}, {"a": np.eye(2, dtype=">f8")}):
        with pytest.raises(errors.ObjectRefused):
            client.save("wrong", wrong, format="safetensors")


def xgboost_models(library: Any) -> list[tuple[Any, Callable[[Any], Any]]]:
    matrix = library.DMatrix(FEATURES, CLASSES)
    classifier = library.XGBClassifier(n_estimators=3, n_jobs=1).fit(FEATURES, CLASSES)
    regressor = library.XGBRegressor(n_estimators=3, n_jobs=1).fit(FEATURES, CLASSES)
    booster = library.train({"nthread": 1}, matrix, 3)
    return [
        (booster, lambda model: model.predict(matrix)),
        (classifier, lambda model: model.predict_proba(FEATURES)),
        (regressor, lambda model: model.predict(FEATURES)),
    ]


def test_models_of_xgboost_predict_the_same(client: OpStoreClient) -> None:
    library = pytest.importorskip("xgboost")
    for model, predict in xgboost_models(library):
        loaded = again(client, model, format="xgboost")
        assert type(loaded) is type(model)
        np.testing.assert_array_equal(predict(loaded), predict(model))
        assert not client.save("object", loaded, format="xgboost").created
    with pytest.raises(errors.ObjectRefused):
        client.save("wrong", [1], format="xgboost")


def test_a_booster_of_lightgbm_predicts_the_same(client: OpStoreClient) -> None:
    library = pytest.importorskip("lightgbm")
    options = {"objective": "binary", "verbose": -1, "num_threads": 1, "min_data_in_leaf": 5}
    booster = library.train(options, library.Dataset(FEATURES, CLASSES), 3)
    loaded = again(client, booster, format="lightgbm")
    np.testing.assert_array_equal(loaded.predict(FEATURES), booster.predict(FEATURES))
    with pytest.raises(errors.ObjectRefused, match=r"model\.booster_"):
        client.save("wrong", library.LGBMClassifier(), format="lightgbm")


def test_a_model_of_onnx_is_the_same(client: OpStoreClient) -> None:
    onnx = pytest.importorskip("onnx")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    ends = [[helper.make_tensor_value_info(name, kind, [2])] for name in ("x", "y")]
    model = helper.make_model(helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", *ends))
    loaded = again(client, model, format="onnx")
    onnx.checker.check_model(loaded)
    assert loaded == model
    elsewhere = helper.make_tensor("w", kind, [1], [0.0])
    elsewhere.data_location = onnx.TensorProto.EXTERNAL
    model.graph.initializer.append(elsewhere)
    with pytest.raises(errors.ObjectRefused, match="in other files"):
        client.save("wrong", model, format="onnx")


@pytest.mark.parametrize("name", ["parquet", "safetensors", "xgboost", "lightgbm", "onnx"])
@pytest.mark.parametrize(
    "data", [b"", b"garbage", b"\x80\x05cos\nsystem\n.", bytes(1000)], ids=["none", "text", "pickle", "0"]
)
def test_other_bytes_are_refused_in_one_kind_of_error(client: OpStoreClient, name: str, data: bytes) -> None:
    pytest.importorskip({"parquet": "pyarrow"}.get(name, name))
    client.push("other", data, format=name)
    if name == "onnx" and data == b"":
        return  # an empty message is a model of nothing
    with pytest.raises(errors.NotLoaded):
        client.load("other")
