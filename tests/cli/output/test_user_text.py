"""User text in the output: escaped for people, unchanged in JSON."""

import json
import os

import pytest

from opstore_cli.output.escaping import escape_controls
from opstore_daemon.protocol import errors
from opstore_daemon.system.stray_bytes import escape_in_message, escape_stray_bytes
from tests.cli.output.fakes import Opstore, a_link

HOSTILE = "a\x1b[31m[bold]red[/]\u202e:smile:\n"
HOSTILE_SHOWN = "a\\x1b[31m[bold]red[/]\\u202e:smile:\\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain words, [bold]markup[/] and C:\\paths", "plain words, [bold]markup[/] and C:\\paths"),
        ("Grüße 世界 👩‍🔬", "Grüße 世界 👩‍🔬"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("\x9b31m", "\\x9b31m"),
        ("\x00\x7f\x85", "\\x00\\x7f\\x85"),
        ("a\tb\r\nc", "a\\tb\\r\\nc"),
        ("\u202eevil\u2066", "\\u202eevil\\u2066"),
        ("\u200bzero\u00adwidth\ufeff", "\\u200bzero\\xadwidth\\ufeff"),
        ("\u2028\u2029", "\\u2028\\u2029"),
        ("\U000e0041", "\\U000e0041"),
        (os.fsdecode(b"f\xff"), "f\\xff"),
        ("\ud800", "\\ud800"),
    ],
)
def test_control_characters_are_escaped(text: str, expected: str) -> None:
    assert escape_controls(text) == expected


def test_escaped_text_contains_no_control_character() -> None:
    every = "".join(chr(code) for code in range(0x3000))
    assert not {
        char
        for char in escape_controls(every)
        if char < " " or "\x7f" <= char <= "\x9f" or "\u202a" <= char <= "\u202e"
    }


def test_a_file_name_that_is_not_utf8_is_escaped_in_json() -> None:
    assert escape_stray_bytes(os.fsdecode(b"f\xff\xc3(")) == "f\\xff\\xc3("
    assert escape_stray_bytes("größe \ud800") == "größe \\ud800"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (os.fsdecode(b"\xff\x80"), r"\xff\x80"),
        (os.fsdecode(b"a\\\xff"), r"a\\\xff"),
        ("\\udcff", r"\\udcff"),  # a backslash, and what follows it
        ("\ud800", r"\ud800"),
        ("\x1b", r"\x1b"),
    ],
)
def test_a_stray_byte_has_one_form_in_a_message(name: str, shown: str) -> None:
    assert escape_in_message(f"{name!r} is not a name") == f"'{shown}' is not a name"


def test_a_stray_byte_of_a_message_is_shown_alike_in_text_and_json(opstore: Opstore) -> None:
    stray = os.fsdecode(b"\xff")
    error = errors.InvalidSetting(setting=stray, reason=f"{stray!r} is not a number")
    said = r"\xff: '\xff' is not a number"
    assert opstore("ops", "-v", ops=error) == (2, "", f"error: {said}\n  setting: \\xff\n  reason: {said[6:]}\n")
    code, out, err = opstore("ops", "--json", ops=error)
    assert (code, out, json.loads(err)["error"]["message"]) == (2, "", said)
    assert json.loads(err)["error"]["details"] == {"setting": r"\xff", "reason": said[6:]}


def test_user_text_is_escaped_off_a_terminal(opstore: Opstore) -> None:
    link = a_link(evidence=HOSTILE)
    line = f"pca@1.0.0\tforest@any\tvalid\t2024-05-06T07:08:09Z\t{HOSTILE_SHOWN}\n"
    assert opstore("links", links=[link]) == (0, line, "")


@pytest.mark.usefixtures("terminal")
def test_user_text_is_escaped_on_a_terminal(opstore: Opstore) -> None:
    code, out, err = opstore("links", links=[a_link(evidence=HOSTILE)])
    assert (code, err) == (0, "")
    assert HOSTILE_SHOWN in out
    assert "\x1b" not in out


def test_details_of_errors_are_escaped(opstore: Opstore) -> None:
    error = errors.StorageFailed(reason=HOSTILE)
    said = f"error: the bytes could not be stored or read: {HOSTILE_SHOWN}\n"
    assert opstore("ops", ops=error) == (9, "", said)
    assert opstore("ops", "-v", ops=error) == (9, "", f"{said}  reason: {HOSTILE_SHOWN}\n")


def test_json_contains_user_text_unchanged(opstore: Opstore) -> None:
    code, out, err = opstore("links", "--json", links=[a_link(evidence=HOSTILE)])
    assert (code, json.loads(out)["links"][0]["evidence"], err) == (0, HOSTILE, "")
