"""The default format of an object restores it exactly and runs no code; without one the object is refused."""

import contextlib
import enum
import io
import math
from collections import OrderedDict, defaultdict
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from opstore_cli import OpStoreClient
from opstore_cli.objects.formats import FORMATS, by_name, default_format, load
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.records import VersionRecord, decode
from tests.support.examples import examples
from tests.support.figures import few
from tests.support.models import dumped, forest, same

RECORD = decode(
    b'{"op":"a","version":"1.0.0","subversions":"aaaa.bbbb.cccc","sequence":1,"digest":null,"size":null,"position":1,'
    b'"registered_at":"2024-01-01T00:00:00Z","labels":{}}',
    VersionRecord,
)


def loaded(data: bytes, name: str) -> Any:
    return load(by_name(name), RECORD, io.BytesIO(data), None)


class Level(enum.IntEnum):
    LOW = 1


class Point(NamedTuple):
    x: int


class Text(str):
    __slots__ = ()


circle: list[Any] = []
circle.append(circle)
deep: list[Any] = []
for _ in range(100_000):
    deep = [deep]

NO_PLAIN_DATA: list[tuple[Any, str]] = [
    ((1, 2), "have a default format"),
    ({"a": {"b": [0, (1,)]}}, "its ['a']['b'][1] is a tuple"),
    ({1: "a"}, "a key that is not a string: 1"),
    ({"a": 1, 2: 3}, "a key that is not a string: 2"),
    ({"a": math.nan}, "its ['a'] is nan"),
    ([math.inf], r"its [0] is inf"),
    ({"score": (np.float64(0.5),)}, "its ['score'] is a tuple"),
    (OrderedDict(a=1), "have a default format"),
    (defaultdict(int, a=1), "have a default format"),
    ([Level.LOW], "its [0] is a tests.cli.objects.test_defaults.Level"),
    ([Point(1)], "its [0] is a tests.cli.objects.test_defaults.Point"),
    ([Text("a")], "its [0] is a tests.cli.objects.test_defaults.Text"),
    ({1, 2}, "have a default format"),
    (bytearray(b"a"), "have a default format"),
    (np.ma.masked_array([1, 2], mask=[False, True]), "have a default format"),
    ({"a": np.eye(2), "b": math.nan}, "its ['a'] is a numpy.ndarray"),
    ({1: np.eye(2)}, "a key that is not a string: 1"),
    (circle, "have a default format"),
    (deep, "have a default format"),
    (print, "have a default format"),
    (int, "have a default format"),
]


@pytest.mark.parametrize(("obj", "reason"), NO_PLAIN_DATA, ids=[reason for _, reason in NO_PLAIN_DATA])
def test_an_object_that_no_plain_format_restores_needs_a_format(obj: Any, reason: str) -> None:
    with pytest.raises(errors.FormatNeeded) as caught:
        default_format(obj)
    assert reason in caught.value.text
    assert all(name in caught.value.advice for name in FORMATS)


def test_a_model_is_pickled_only_on_request(client: OpStoreClient) -> None:
    with pytest.raises(errors.FormatNeeded) as caught:
        client.save("forest", forest())
    assert "sklearn.ensemble._forest.RandomForestClassifier needs a format" in caught.value.text
    assert "joblib, pickle, cloudpickle (loading these runs code)" in caught.value.advice
    assert client.ops() == []


UNFIT: list[tuple[Any, str, str]] = [
    ((1,), "json", "it is a tuple"),
    ([{"a": math.nan}], "json", "its [0]['a'] is nan"),
    (circle, "json", "nested too deeply, or contains itself"),
    (deep, "json", "nested too deep"),
    ("\ud800", "json", "surrogates not allowed"),
    (10**5000, "json", "saved as json: a number in it has more than 4300 digits"),
    ("text", "bytes", "it is a str"),
    ([1], "numpy", "it is a list"),
    (np.array([object()]), "numpy", "the dtype object"),
    (np.array([(1, "a")], dtype=[("n", int), ("o", object)]), "numpy", "would have to be pickled"),
    ({"a": np.array([None])}, "numpy", "its ['a'] has the dtype object"),
    (np.ma.masked_array([1], mask=[True]), "numpy", "MaskedArray"),
    ({"a": [1]}, "numpy", "its ['a'] is a list"),
    ({1: np.eye(2)}, "numpy", "a key that is not a string: 1"),
    ({"a\0b": np.eye(2)}, "numpy", "can't be a file name"),
    ({"a\ud800": np.eye(2)}, "numpy", "surrogates not allowed"),
    (np.zeros(1, dtype=[(f"field{n}", int) for n in range(1000)]), "numpy", "more fields than numpy can read"),
    (lambda: None, "pickle", "PicklingError"),
    (lambda: None, "joblib", "PicklingError"),
    ((n for n in [1]), "cloudpickle", "cannot pickle 'generator' object"),
    ((n for n in [1]), "skops", "generator"),
]


@pytest.mark.parametrize(
    ("obj", "name", "reason"), few(6, UNFIT), ids=[f"{name}: {reason}" for _, name, reason in UNFIT]
)
def test_an_object_that_does_not_fit_its_format_is_refused_with_the_reason(obj: Any, name: str, reason: str) -> None:
    with pytest.raises(errors.ObjectRefused) as caught:
        dumped(obj, name)
    assert reason in caught.value.text
    assert f"can't be saved as {name}" in caught.value.text


def test_an_unknown_format_is_refused_with_a_list_of_formats(client: OpStoreClient) -> None:
    with pytest.raises(errors.UnknownFormat, match="'keras' is not an object format; choose one of bytes, json, numpy"):
        client.save("model", {}, format="keras")
    assert client.ops() == []


def test_arguments_are_checked_before_the_object_is_written(client: OpStoreClient) -> None:
    class Watched:
        def __reduce__(self) -> Any:
            raise AssertionError("it was pickled")

    with pytest.raises(errors.InvalidName):
        client.save("No Name", Watched(), format="pickle")
    with pytest.raises(errors.InvalidReference):
        client.save("model", Watched(), format="pickle", valid_with=["a@@b"])


# --- properties -----------------------------------------------------------------------------------------------------

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def exactly(one: Any, other: Any) -> bool:
    """Equal, and of equal types, throughout."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(exactly(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(exactly, one, other))
    return bool(one == other) and math.copysign(1, one if isinstance(one, float) else 1) == math.copysign(
        1, other if isinstance(other, float) else 1
    )


@given(PLAIN)
@examples(400)
def test_json_restores_plain_data_exactly(value: Any) -> None:
    assert default_format(value).name == "json"
    data = dumped(value, "json")
    assert exactly(loaded(data, "json"), value)
    assert dumped(value, "json") == data


ANYTHING = st.recursive(
    st.none() | st.integers() | st.floats() | st.text(st.characters()) | st.binary() | st.sampled_from([(), {1}, 1j]),
    lambda inner: st.lists(inner) | st.tuples(inner) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=10,
)


@given(ANYTHING)
def test_an_object_is_restored_exactly_or_refused(value: Any) -> None:
    try:
        chosen = default_format(value)
        data = dumped(value, chosen.name)
    except (errors.FormatNeeded, errors.ObjectRefused):
        return
    assert exactly(loaded(data, chosen.name), value)


ARRAYS = arrays.arrays(
    arrays.scalar_dtypes() | arrays.array_dtypes(allow_subarrays=False),
    arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
)


@pytest.mark.slow
@given(ARRAYS)
@examples(400)
def test_a_file_restores_an_array_exactly(array: Any) -> None:
    data = dumped(array, "numpy")
    assert same(loaded(data, "numpy"), array)
    assert dumped(array, "numpy") == data


@pytest.mark.slow
@given(st.dictionaries(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), ARRAYS))
@examples(400)
def test_a_file_restores_a_dict_of_arrays_exactly(named_arrays: Any) -> None:
    data = dumped(named_arrays, "numpy")
    back = loaded(data, "numpy")
    assert list(back) == list(named_arrays)
    assert all(same(back[name], named_arrays[name]) for name in named_arrays)
    assert dumped(named_arrays, "numpy") == data


@pytest.mark.slow
@given(st.binary() | st.binary().map(lambda tail: b"\x93NUMPY\x01\x00" + tail) | st.binary().map(lambda t: b"PK" + t))
def test_bytes_of_any_kind_are_loaded_or_refused(data: bytes) -> None:
    for name in ("numpy", "skops", "json"):
        with contextlib.suppress(errors.NotLoaded):
            loaded(data, name)
