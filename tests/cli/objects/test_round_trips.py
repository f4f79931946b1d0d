"""Every format restores what people store in it, and saving the same object again creates nothing."""

import datetime
import inspect
import io
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.preprocessing import StandardScaler

from opstore_cli import OpStoreClient
from opstore_cli.objects.formats import FORMATS
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.digests import digest_of
from tests.support.figures import few
from tests.support.models import MODELS, TEXTS, TREES, dumped, predictions, same, with_each_format, words

OTHER_FORMATS = ["parquet", "safetensors", "xgboost", "lightgbm", "onnx"]  # test_other_formats.py
MODEL_FORMATS = ["pickle", "cloudpickle", "joblib", "skops"]


def fetch(client: OpStoreClient, reference: str) -> Any:
    return client.load(reference, allow_pickle=True, trusted=TREES)


@pytest.mark.parametrize("model", few(1, MODELS))
def test_a_model_predicts_the_same_after_every_format(client: OpStoreClient, model: str) -> None:
    made = MODELS[model]()
    for name in MODEL_FORMATS:
        saved = client.save(f"{model}.{name}", made, format=name)
        assert (saved.version, saved.format, saved.created) == ("1.0.0", name, True)
        loaded = fetch(client, saved.op)
        assert type(loaded) is type(made)
        np.testing.assert_array_equal(predictions(loaded), predictions(made))


@pytest.mark.parametrize(("model", "name"), list(with_each_format(MODEL_FORMATS)))
def test_saving_the_same_model_again_creates_nothing(client: OpStoreClient, model: str, name: str) -> None:
    made = MODELS[model]()
    first = client.save("model", made, format=name)
    again = client.save("model", made, format=name)
    assert (again.created, again.version, again.digest) == (False, first.version, first.digest)


DIGESTS = """
from tests.cli.objects.test_round_trips import digests_of_models
print(*digests_of_models(), sep="\\n")
"""


def digests_of_models() -> list[str]:
    """Return the digest of each model in each format."""
    found = []
    for model in MODELS:
        made = MODELS[model]()
        found += [f"{model} {name} {digest_of(dumped(made, name))}" for name in MODEL_FORMATS]
    return found


@pytest.mark.slow
def test_the_same_model_made_by_two_processes_is_the_same_bytes() -> None:
    root = Path(__file__).parents[3]
    other = subprocess.run([sys.executable, "-c", DIGESTS], cwd=root, capture_output=True, text=True, check=True)
    assert other.stdout.splitlines() == digests_of_models()


def test_a_vocabulary_with_sparse_weights_is_restored(client: OpStoreClient) -> None:
    made = words()
    for name in MODEL_FORMATS:
        client.save(f"words.{name}", made, format=name)
        loaded = fetch(client, f"words.{name}")
        assert loaded.vocabulary_ == made.vocabulary_
        assert (loaded.transform(TEXTS) != made.transform(TEXTS)).nnz == 0


THINGS: list[Any] = [
    {"a": (1, 2.5), "when": datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC), "set": {1, 2, 3}},
    Counter("abracadabra"),
    random.Random(7).getstate(),
    [],
    None,
]


@pytest.mark.parametrize("name", ["pickle", "cloudpickle", "joblib"])
@pytest.mark.parametrize("thing", THINGS, ids=repr)
def test_a_pickle_restores_objects_of_the_standard_library(client: OpStoreClient, thing: Any, name: str) -> None:
    client.save("thing", thing, format=name)
    assert fetch(client, "thing") == thing


def test_bytes_are_restored_exactly(client: OpStoreClient) -> None:
    for number, data in enumerate([b"", b"\0", b"x" * 3_000_000]):
        saved = client.save(f"blob{number}", data)
        assert (saved.format, saved.libraries, saved.size) == ("bytes", {}, len(data))
        assert client.load(saved.op) == data == client.pull(saved.op)
    client.save("view", memoryview(b"abcdef")[::2], format="bytes")
    assert client.load("view") == b"ace"


def test_json_is_restored_exactly(client: OpStoreClient) -> None:
    data = {
        "f1": 0.1 + 0.2,
        "tags": ["ä", "\n", "\0"],
        "none": None,
        "yes": True,
        "big": 2**100,
        "empty": {},
        "-0": -0.0,
    }
    saved = client.save("metrics", data)
    assert (saved.format, saved.libraries) == ("json", {})
    assert client.load("metrics") == data
    assert list(client.load("metrics")) == list(data)
    assert client.pull("metrics").decode().startswith('{"f1": 0.30000000000000004, "tags": ["ä", ')


def test_arrays_are_restored_exactly(client: OpStoreClient) -> None:
    structured = np.array([(1, 2.5, "ab")], dtype=[("n", "<i4"), ("x", ">f8"), ("s", "U2")])
    arrays = [
        np.arange(6).reshape(2, 3),
        np.asfortranarray(np.arange(6).reshape(2, 3)),
        np.arange(20)[::3],
        np.array(2.5),
        np.empty((0, 3), dtype=np.float32),
        np.array(["2024-01-01", "NaT"], dtype="datetime64[D]"),
        np.array([1 + 2j, np.nan]),
        np.array([b"ab", b"c"]),
        structured,
    ]
    for number, array in enumerate(arrays):
        saved = client.save(f"array{number}", array)
        assert (saved.format, list(saved.libraries)) == ("numpy", ["numpy"])
        assert same(client.load(saved.op), array)
    weights = {f"layer{number}": array for number, array in enumerate(arrays)}
    saved = client.save("weights", weights)
    loaded = client.load("weights")
    assert saved.format == "numpy"
    assert list(loaded) == list(weights)
    assert all(same(loaded[name], weights[name]) for name in weights)


def test_what_numpy_itself_reads_is_an_npz(client: OpStoreClient, tmp_path: Path) -> None:
    client.save("weights", {"w": np.eye(3), "b": np.zeros(3)})
    client.pull("weights", to=tmp_path / "weights.npz")
    with np.load(tmp_path / "weights.npz") as found:
        assert sorted(found.files) == ["b", "w"]
        np.testing.assert_array_equal(found["w"], np.eye(3))


def test_an_npz_that_numpy_itself_wrote_is_loaded(client: OpStoreClient, tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "w.npz", w=np.eye(3))
    np.save(tmp_path / "a.npy", np.arange(3))
    client.push("w", tmp_path / "w.npz", format="numpy")
    client.push("a", tmp_path / "a.npy", format="numpy")
    np.testing.assert_array_equal(client.load("w")["w"], np.eye(3))
    np.testing.assert_array_equal(client.load("a"), np.arange(3))


def test_a_memory_map_is_saved_as_the_array_that_it_is(client: OpStoreClient, tmp_path: Path) -> None:
    mapped: Any = np.memmap(tmp_path / "map", dtype="<i4", mode="w+", shape=(4,))
    mapped[:] = range(4)
    client.save("map", mapped)
    np.testing.assert_array_equal(client.load("map"), np.arange(4))
    del mapped


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cloudpickle"])
def test_functions_and_classes_of_a_script_are_in_a_cloudpickle_themselves(client: OpStoreClient, name: str) -> None:
    script = """
import sys
from opstore_cli import OpStoreClient
class Doubling:
    def __init__(self, by): self.by = by
    def __call__(self, value): return value * self.by
with OpStoreClient(sys.argv[1], token=sys.argv[2]) as client:
    client.save("double", Doubling(2), format="cloudpickle")
    client.save("lambda", lambda value: value + 1, format="cloudpickle")
"""
    arguments = [client.target.url, str(client.target.token)]
    subprocess.run([sys.executable, "-c", script, *arguments], check=True, timeout=60)
    assert fetch(client, "double")(21) == 42
    assert fetch(client, "lambda")(1) == 2


def test_skops_files_are_the_same_bytes_whatever_is_in_them() -> None:
    made = {
        "__id__": 5,
        "file": "0.npy",
        "__class__": "dict",
        "__module__": "os",
        "raw": b"some bytes",
        "buffer": bytearray(b"more"),
        "array": np.arange(4),
        "again": None,
    }
    made["again"] = made["array"]
    assert dumped(made, "skops") == dumped(made, "skops")


@pytest.mark.parametrize("count", [0, 1, 100_000])
@pytest.mark.parametrize("field", ["low", "größe"])
def test_skops_files_do_not_depend_on_bytes_that_belong_to_no_field(count: int, field: str) -> None:
    """Nodes of trees have such bytes, with whatever the memory held before."""
    kind = np.dtype([(field, "u1"), ("high", "<i8")], align=True)
    nodes = np.zeros(count, kind)
    nodes["high"] = np.arange(count)
    other = nodes.copy()
    other.view("u1").reshape(-1, kind.itemsize)[:, 1:8] = 255
    assert (nodes == other).all()
    assert dumped(nodes, "skops") == dumped(other, "skops")
    with io.BytesIO() as file:
        FORMATS["skops"].dump(other, file)
        file.seek(0)
        assert (FORMATS["skops"].load(file, None) == nodes).all()


@pytest.mark.parametrize("make", [lambda: pd.DataFrame({"a": [1]}).columns.values, lambda: pd.Categorical(["a"])])
def test_an_object_that_skops_would_restore_without_its_content_is_refused(
    client: OpStoreClient, make: Callable[[], Any]
) -> None:
    model = StandardScaler()
    model.names = make()
    with pytest.raises(errors.ObjectRefused, match=r"skops would not store what is in a pandas\."):
        client.save("odd", model, format="skops")
    assert client.ops() == []


def test_a_skops_file_restores_keys_that_skops_uses_itself(client: OpStoreClient) -> None:
    made = {"__id__": 5, "file": "schema.json", "__class__": "dict", "content": [1, {"__id__": 1}], "b": b"\0"}
    client.save("odd", made, format="skops")
    assert client.load("odd") == made


def test_the_other_arguments_are_those_of_push(client: OpStoreClient) -> None:
    def arguments(verb: Any) -> dict[str, Any]:
        return {name: each.default for name, each in inspect.signature(verb).parameters.items()}

    push, save = arguments(OpStoreClient.push), arguments(OpStoreClient.save)
    others = ("source", "libraries", "follow_links", "exclude", "new_ops", "executable")
    assert {name: push[name] for name in push if name not in others} == {
        name: save[name] for name in save if name != "obj"
    }
    client.register_pipeline("reports", ["report"])
    client.save("pca", {"n": 1})
    saved = client.save(
        "forest",
        {"trees": 10},
        fields={"major": {"trees": "10"}},
        valid_with=["pca"],
        valid_for=["report@any"],
        labels={"by": "me"},
        message="ten trees",
    )
    assert (saved.labels, saved.message, saved.format) == ({"by": "me"}, "ten trees", "json")
    assert client.validate("pca", "forest").verdict == "valid"
    assert client.validate("forest", "report").verdict == "valid"
    assert client.save("forest", {"trees": 10}, bump="major", new=True).version == "2.0.0"
    assert client.save("forest", {"trees": 10}, subversions="aaaa.bbbb.cccc").subversions == "aaaa.bbbb.cccc"


def test_the_same_bytes_in_another_format_are_another_version(client: OpStoreClient) -> None:
    client.push("text", b"[1]")
    client.save("text", b"[1]")
    assert client.load("text") == b"[1]"
    client.save("text", [1])
    assert client.load("text") == [1]
    assert client.save("text", [1]).created is False
    assert client.push("text", b"[1]").created is False
    assert [each.format for each in client.versions("text").versions] == ["json", "bytes", None]


def test_a_declared_version_that_has_the_bytes_in_another_format_is_a_conflict(client: OpStoreClient) -> None:
    declared = {"major": {"n": "1"}}
    client.save("text", b"[1]", fields=declared)  # type: ignore[arg-type]
    with pytest.raises(errors.FormatConflict, match=r"text@1\.0\.0 has these bytes already, as bytes"):
        client.save("text", [1], fields=declared)  # type: ignore[arg-type]
    client.push("raw", b"[1]", subversions="aa11.bb22.cc33")
    with pytest.raises(errors.FormatConflict, match=r"raw@1\.0\.0 has these bytes already, as plain bytes"):
        client.save("raw", [1], subversions="aa11.bb22.cc33")
    assert [client.op(name).versions for name in ("text", "raw")] == [1, 1]


def test_every_format_has_a_round_trip_test() -> None:
    assert sorted(FORMATS) == sorted([*MODEL_FORMATS, "bytes", "json", "numpy", *OTHER_FORMATS])


def test_progress_of_objects_is_reported(client: OpStoreClient) -> None:
    moves: list[tuple[int, int | None]] = []
    client.progress = lambda done, whole: moves.append((done, whole))
    client.save("blob", bytes(3_000_000))
    saving = list(moves)
    client.load("blob")
    assert saving[-1] == moves[-1] == (3_000_000, 3_000_000)
    assert len(moves) > len(saving)
