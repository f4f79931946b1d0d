"""What tomllib does not bound is found where tomllib would find it, in linear time."""

import importlib
import tomllib
from typing import Any
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opstore_cli.files import toml_limits
from opstore_cli.files.text import NotText, parse_toml
from tests.support.figures import few

LONG = "b" + ".b" * 200_000
FRAGMENTS = [
    '"',
    "'",
    '"""',
    "'''",
    "\\",
    "#",
    "\n",
    " = 1",
    "x = ",
    "{",
    "}",
    "[",
    "]",
    ", ",
    "a.a.a.a.a",
    "'.' . c",
    "b",
]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (f"{LONG} = 1", "line 1, column 1"),
        (f"[{LONG}]", "line 1, column 2"),
        (f"x = 1\n[[ {LONG} ]]", "line 2, column 4"),
        ("x = [1,\n{'b'" + ' .\t"b"' * 200_000 + " = 1}]", "line 2, column 2"),
        (f'x = {{a = """\n\' """, {LONG} = 1, c = "\'"}}', "line 2, column 8"),
        (f"x = {{a = '''\" '''', {LONG} = 1}}", "line 1, column 21"),
        (f'x = {{a = """ ""\\""""", {LONG} = 1}}', "line 1, column 24"),
        (f'x = 1 # \' """\n{LONG} = 1 # \'', "line 2, column 1"),
    ],
)
def test_a_key_with_many_dots_is_not_parsed(text: str, place: str) -> None:
    with (
        mock.patch.object(tomllib, "loads", side_effect=AssertionError("it was parsed")),
        pytest.raises(NotText, match=rf"^a key has more than 100 dots \(at {place}\)$"),
    ):
        parse_toml(text)


@pytest.mark.parametrize(
    "value",
    [
        f'"{LONG}"',
        f"'{LONG}'",
        f"'''\n{LONG} '''",
        "1 #" + ".b" * 500,
        "[" + "1.5, " * 500 + "]",
        "'\\'\n" + "".join(f"b.b.b{n} = 1\n" for n in range(99)),
    ],
)
def test_dots_elsewhere_are_legal(value: str) -> None:
    assert parse_toml(f"x = {value}") == tomllib.loads(f"x = {value}")
    assert parse_toml(f"'{LONG}' = 1") == {LONG: 1}


@given(st.lists(st.sampled_from(FRAGMENTS), max_size=30).map("".join))
def test_every_long_key_that_tomllib_reads_is_found(text: str) -> None:
    parser: Any = importlib.import_module("tomllib._parser")
    lengths: list[int] = []
    call = parser.parse_key

    def spy(*arguments: Any) -> Any:
        result = call(*arguments)
        lengths.append(len(result[1]))
        return result

    with mock.patch.object(parser, "parse_key", spy):
        try:
            tomllib.loads(text)
        except tomllib.TOMLDecodeError:
            is_valid = False
        else:
            is_valid = True
    found = toml_limits.place_of_long_key(text, 3)
    if max(lengths, default=0) > 4:
        assert found is not None
    elif is_valid:
        assert found is None or "a.a.a.a.a" in text


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("a = 1\nb = " + "1" * 4301, " (at line 2, column 5)"),
        ("b = [1, -" + "1_0" * 3000 + "]", " (at line 1, column 9)"),
        ("a = '" + "1" * 5000 + "'\nb = " + "1" * 5000, " (at line 2, column 5)"),
    ],
)
def test_a_number_that_python_does_not_read_is_named_with_its_place(text: str, place: str) -> None:
    with pytest.raises(NotText) as caught:
        parse_toml(text)
    assert str(caught.value) == f"a number has too many digits{place}"


@pytest.mark.parametrize(
    "text",
    few(
        1,
        [
            '"' + '\\"' * 500_000,
            '"""' + '""\\"' * 300_000,
            "'" * 500_000,
            "a " * 500_000,
            "#'\n" * 300_000,
            "a . " * 300_000,
        ],
    ),
)
def test_each_part_of_a_text_is_scanned_once(text: str) -> None:
    """A pattern that went back would take hours for these."""
    assert toml_limits.place_of_long_number(text) is None
