"""Names of ops, pipelines and tags: the rules and the suggestions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.names import RULE, OpName, is_name, suggest_name
from tests.support.for_each import for_each

LEGAL = [
    "a",
    "0",
    "pca",
    "random_forest",
    "random-forest",
    "v1.2",
    "1.2.3.4",
    "a._-b",
    "9lives",
    "console",
    "my.con",
    "com10",
    "lpt",
    "nul1",
    "latest",
    "a" * 128,
]
ILLEGAL = [
    "",
    "..",
    ".",
    "...",
    "a..b",
    "a/b",
    "/a",
    "a/",
    "../a",
    "a/../b",
    "a\\b",
    "..\\a",
    "c:a",
    "~a",
    "$a",
    "%2e%2e",
    "a@1",
    "a b",
    " a",
    "a ",
    "\ta",
    "a\n",
    "\na",
    "a\r",
    "a\x00",
    "a\x00b",
    "a\x1bb",
    "a\x7fb",
    "A",
    "aB",
    "é",
    "añb",
    "а",  # Cyrillic
    "１",  # full-width
    "a²",
    "com¹",
    "\u202ea",
    "\udcff",
    "\U0001f600",
    ".a",
    "-a",
    "_a",
    "a.",
    "a-",
    "a_",
    "a:b",
    "a*",
    "a?",
    "a<b",
    "a" * 129,
    "a" * 100_000,
]
# Repeated here, so that a device that is deleted from the list fails a test.
DEVICE_NAMES = ["con", "prn", "aux", "nul", *[f"{port}{n}" for port in ("com", "lpt") for n in range(10)]]


@pytest.mark.parametrize("name", LEGAL)
def test_a_legal_name_is_accepted_unchanged(name: str) -> None:
    assert is_name(name)
    assert OpName.parse(name) == name


@for_each("name", ILLEGAL)
def test_an_illegal_name_is_refused_with_the_rule(name: str) -> None:
    assert not is_name(name)
    with pytest.raises(errors.InvalidName) as caught:
        OpName.parse(name)
    assert caught.value.details["rule"] == RULE
    assert RULE in caught.value.text


def test_a_name_has_at_most_128_characters() -> None:
    assert is_name("a" * 128)
    assert not is_name("a" * 129)
    assert is_name("a" + "." + "b" * 126)
    assert not is_name("a" + "." + "b" * 127)


@for_each("device", DEVICE_NAMES)
@for_each("ending", ["", ".txt", ".tar.gz"])
def test_the_name_of_a_windows_device_is_refused_with_any_suffix(device: str, ending: str) -> None:
    for name in (device + ending, device.upper() + ending):
        with pytest.raises(errors.InvalidName) as caught:
            OpName.parse(name)
        assert caught.value.text == f"{name!r} is not a name: {device} is the name of a device on Windows"
        assert caught.value.advice == ""


@pytest.mark.parametrize(
    ("meant", "name"),
    [
        ("RandomForest", "random_forest"),
        ("PCA", "pca"),
        ("HTTPServer2", "http_server2"),
        ("My Op", "my_op"),
        (" pca ", "pca"),
        ("Random-Forest", "random-forest"),
        ("A" * 128, "a" * 128),
    ],
)
def test_an_obvious_legal_name_is_suggested(meant: str, name: str) -> None:
    assert suggest_name(meant) == name
    with pytest.raises(errors.InvalidName) as caught:
        OpName.parse(meant)
    assert caught.value.advice == f"use {name}"


@pytest.mark.parametrize("meant", ["", "..", "a/B", "a\\B", "Größe", "A\x00", "_A", "A" * 129, "Con", "A..B"])
def test_without_an_obvious_name_there_is_no_suggestion(meant: str) -> None:
    assert suggest_name(meant) is None
    with pytest.raises(errors.InvalidName) as caught:
        OpName.parse(meant)
    assert caught.value.advice == ""


def test_a_long_text_is_not_repeated_in_full() -> None:
    with pytest.raises(errors.InvalidName) as caught:
        OpName.parse("A" * 100_000)
    assert len(caught.value.text) < 500
    assert len(caught.value.details["name"]) == 200


@given(st.text(max_size=12) | st.text("aAbB01._-/ \n", max_size=12) | st.from_regex(r"[a-z0-9._-]{0,140}"))
def test_a_name_is_legal_exactly_by_the_rules_of_the_contract(text: str) -> None:
    alphanumeric = "abcdefghijklmnopqrstuvwxyz0123456789"
    expected = (
        0 < len(text) <= 128
        and set(text) <= set(alphanumeric + "._-")
        and text[0] in alphanumeric
        and text[-1] in alphanumeric
        and ".." not in text
        and text.split(".")[0] not in DEVICE_NAMES
    )
    assert is_name(text) is expected


@given(st.text(max_size=12))
def test_a_suggested_name_is_legal(text: str) -> None:
    suggested = suggest_name(text)
    assert suggested is None or is_name(suggested)


@pytest.mark.parametrize("text", ["pca@1.0.0", "PCA@best", "pca@"])
def test_a_reference_in_place_of_a_name_is_answered_with_its_name(text: str) -> None:
    with pytest.raises(errors.InvalidName) as refused:
        OpName.parse(text)
    assert refused.value.advice == "use pca"
