"""numpy scalars, and nested dicts and lists of arrays: restored exactly, with their types, and without a pickle."""

import io
import json
from typing import Any
from zipfile import ZipFile

import numpy as np
import pytest

from opstore_cli import OpStoreClient
from opstore_daemon.protocol import errors
from tests.support.models import dumped


def same(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, np.ndarray | np.generic):
        return bool(one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes())
    return bool(one == other)


TREES: list[Any] = [
    np.float64(0.5),
    np.float32("nan"),
    np.int8(-3),
    np.bool_(True),
    np.str_("text"),
    np.datetime64("2026-01-02T03:04:05", "s"),
    {"score": np.float64(0.9)},
    {"a": np.eye(2), "b": 1, "c": None, "d": [True, "x", 0.1]},
    {"layer": {"w": np.eye(3), "b": np.zeros(0)}, "empty": {}, "a/b": {"": [np.arange(3)]}},
    [np.eye(2), [np.float16(1)], []],
    {"tree.json": np.eye(1), "0.npy": {"x": np.eye(2)}},
]


@pytest.mark.parametrize("obj", TREES, ids=str)
def test_a_tree_is_restored_exactly_and_its_bytes_are_the_same_again(client: OpStoreClient, obj: Any) -> None:
    saved = client.save("tree", obj)
    assert (saved.format, list(saved.libraries)) == ("numpy", ["numpy"])
    assert same(client.load("tree"), obj)
    assert not client.save("tree", obj).created


def test_a_flat_dict_of_arrays_stays_one_that_numpy_itself_reads(client: OpStoreClient) -> None:
    client.save("flat", {"a": np.eye(2)})
    assert list(np.load(io.BytesIO(client.pull("flat")))) == ["a"]


@pytest.mark.parametrize("obj", [{"a": {"b": np.array([object()])}}, [np.ma.masked_array([1], mask=[True]), np.eye(1)]])
def test_an_array_that_would_be_changed_is_refused_with_its_place(obj: Any) -> None:
    with pytest.raises(errors.ObjectRefused):
        dumped(obj, "numpy")


@pytest.mark.parametrize(
    "tree",
    [
        "5",
        "[]",
        '{"array": "../x"}',
        '{"array": 7}',
        '{"dict": [1]}',
        '{"list": {}}',
        "[" * 100_000,
        '{"list": [' * 500 + "]}" * 500,
        "not json",
    ],
    ids=lambda tree: str(tree)[:15],
)
def test_a_damaged_tree_is_refused_and_never_a_bug(client: OpStoreClient, tree: str) -> None:
    made = io.BytesIO()
    with ZipFile(made, "w") as file:
        file.writestr("tree.json", tree)
    client.push("tree", made.getvalue(), format="numpy")
    with pytest.raises(errors.NotLoaded):
        client.load("tree")


def test_a_tree_never_holds_a_pickle(client: OpStoreClient) -> None:
    array = io.BytesIO()
    np.save(array, np.array([object], dtype=object), allow_pickle=True)
    made = io.BytesIO()
    with ZipFile(made, "w") as file:
        file.writestr("tree.json", json.dumps({"array": 0}))
        file.writestr("0.npy", array.getvalue())
    client.push("tree", made.getvalue(), format="numpy")
    with pytest.raises(errors.NotLoaded, match="allow_pickle=False"):
        client.load("tree")
