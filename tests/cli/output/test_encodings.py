"""Text and JSON on streams of any encoding: JSON is UTF-8, and text that the encoding lacks becomes an escape."""

import io
import json
import os
import sys
from pathlib import Path
from typing import Any

import click
import pytest

from opstore_cli.console.parameters import NumberType, Text
from opstore_cli.output.document import Output
from opstore_cli.output.streams import StandardOutput
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.records import PickedYanked

ENCODINGS = ["cp1252", "ascii", "utf-8", "utf-16", "shift_jis", "latin-1"]
MESSAGE = "größe 😀 日本"


def _streams(monkeypatch: pytest.MonkeyPatch, encoding: str = "utf-8") -> tuple[io.BytesIO, io.BytesIO]:
    """Replace stdout and stderr; return the bytes that arrive there."""
    out, err = io.BytesIO(), io.BytesIO()
    monkeypatch.setattr(sys, "stdout", StandardOutput(out, encoding=encoding, errors="backslashreplace"))
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(err, encoding=encoding, errors="backslashreplace"))
    return out, err


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_json_is_utf_8_whatever_the_encoding_of_the_streams(monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    out, err = _streams(monkeypatch, encoding)
    output = Output(json=True)
    output.write_json({"message": MESSAGE})
    assert json.loads(out.getvalue().decode()) == {"message": MESSAGE}
    output.warn(MESSAGE)
    output.error(errors.FileRefused(path=MESSAGE, reason="so"))
    warning, error = (json.loads(line) for line in err.getvalue().decode().splitlines())
    assert (warning, error["error"]["details"]["path"]) == ({"warning": MESSAGE}, MESSAGE)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_text_that_the_encoding_lacks_is_escaped(monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    out, _ = _streams(monkeypatch, encoding)
    Output().write_lines([MESSAGE])
    sys.stdout.flush()
    assert out.getvalue() == (MESSAGE + "\n").encode(encoding, "backslashreplace")


def test_a_path_that_is_not_utf_8_is_escaped_wherever_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    out, err = _streams(monkeypatch)
    stray = os.fsdecode(b"\xff\n")
    output = Output(json=True)
    output.write_json(
        {"home": stray, "pulled": [PickedYanked(op="a", version="1.0.0", reason=stray), {stray: Path(stray)}]}
    )
    document = json.loads(out.getvalue())
    json.dumps(document, ensure_ascii=False).encode()
    assert document["home"] == document["pulled"][0]["reason"] == "\\xff\n"
    output.failure("X", stray, stray, {"similar": [stray], "more": {stray: {"x": stray}}})
    error = json.loads(err.getvalue())["error"]
    json.dumps(error, ensure_ascii=False).encode()
    assert error["details"] == {"similar": ["\\xff\n"], "more": {"\\xff\n": {"x": "\\xff\n"}}}


def test_a_full_disk_under_json_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.BytesIO):
        def write(self, data: Any, /) -> int:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(sys, "stdout", StandardOutput(Full(), encoding="utf-8"))
    with pytest.raises(errors.OutputFailed, match="standard output can't be written: No space left on device"):
        Output(json=True).write_json({})


def test_an_argument_in_utf_8_is_read_in_any_locale(monkeypatch: pytest.MonkeyPatch) -> None:
    # As under LC_ALL=C without the UTF-8 mode: Python makes a surrogate of each byte.
    taken_apart = "größe".encode().decode("ascii", "surrogateescape")
    monkeypatch.setattr(os, "fsencode", lambda text: text.encode("ascii", "surrogateescape"))
    assert Text().convert(taken_apart, None, None) == "größe"
    with pytest.raises(click.BadParameter) as caught:
        Text().convert("gr\udcf6\udcdfe", None, None)
    assert caught.value.message == r"'gr\xf6\xdfe' is not UTF-8"


@pytest.mark.parametrize("text", ["٣", "1_0", " 3", "3 ", "+3", "0x3", "", "３", "9" * 5000, "\udcff"])
def test_a_number_has_ascii_digits(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is not a number"):
        NumberType(min=1).convert(text, None, None)
    assert NumberType(min=1).convert("3", None, None) == 3
