"""Errors, internal errors, interruptions and warnings."""

import json
import os
import sys
from typing import Any

import pytest
from rich.cells import cell_len

from opstore_cli.config.settings import Settings
from opstore_cli.main import main
from opstore_cli.output import document as output
from opstore_cli.output.width import wrap
from opstore_daemon.protocol import errors
from tests.cli.output.fakes import FakeSession, Opstore


@pytest.mark.parametrize("kind", [kind for kind in errors.all_errors() if kind.message == errors.OpStoreError.message])
def test_every_error_exits_with_its_code(opstore: Opstore, kind: type[errors.OpStoreError]) -> None:
    assert opstore("ops", ops=kind(reason="so")) == (kind.exit_code, "", "error: so\n")


def test_an_error_has_a_message_and_a_hint(opstore: Opstore) -> None:
    error = errors.OpNotFound(op="pca")
    assert opstore("show", "pca", details=error) == (4, "", "error: there is no op pca\nhint: opstore ops\n")
    code, out, err = opstore("show", "pca", "--json", details=error)
    assert (code, out, json.loads(err)) == (
        4,
        "",
        {
            "error": {
                "code": "OpNotFound",
                "message": "there is no op pca",
                "details": {"op": "pca"},
                "hint": "opstore ops",
            }
        },
    )


def test_an_internal_error_exits_70_with_a_reference(opstore: Opstore) -> None:
    code, out, err = opstore("ops", ops=ValueError("odd\x1b"))
    lines = err.splitlines()
    assert (code, out, len(lines)) == (70, "", 2)
    assert lines[0].startswith("error: an internal error, with the reference ")
    assert lines[0].endswith(": ValueError: odd\\x1b")
    assert lines[1] == "hint: run the command again with -v, and report the output"


def test_an_internal_error_shows_its_traceback_with_v(opstore: Opstore) -> None:
    code, _, err = opstore("ops", "-v", ops=ValueError("odd\x1b"))
    assert (code, err.splitlines()[0], "\x1b" in err) == (70, "Traceback (most recent call last):", False)
    code, _, err = opstore("ops", "-v", "--json", ops=ValueError("odd"))
    assert (code, set(json.loads(err)["error"]["details"])) == (70, {"reference", "traceback"})


@pytest.mark.parametrize(
    ("raised", "code", "said"),
    [
        (KeyboardInterrupt(), 130, "error: interrupted\n"),
        (BrokenPipeError(), 141, ""),
    ],
)
def test_ctrl_c_exits_130_and_a_broken_pipe_141(
    capsys: pytest.CaptureFixture[str], raised: BaseException, code: int, said: str
) -> None:
    class Interrupted(FakeSession):
        def client(self, settings: Settings | None = None) -> Any:
            raise raised

    assert (main(["ops"], Interrupted()), *capsys.readouterr()) == (code, "", said)


def test_notes_and_warnings_are_json_lines_with_json(capsys: pytest.CaptureFixture[str]) -> None:
    out = output.Output(json=True)
    out.note("a\x1b")
    out.warn("b")
    assert [json.loads(line) for line in capsys.readouterr().err.splitlines()] == [{"note": "a\x1b"}, {"warning": "b"}]


def test_a_failing_stderr_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    with open(os.devnull) as unwritable:
        monkeypatch.setattr(sys, "stderr", unwritable)
        output.Output().warn("nobody reads this")


@pytest.mark.usefixtures("terminal")
@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_messages_are_wrapped_at_words_on_a_terminal(
    opstore: Opstore, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    path = "/srv/" + "x" * 50
    error = errors.OutputFailed(path=path, reason="the words of a reason that is long, and 日本語 " * 3)
    code, _, err = opstore("ops", ops=error)
    assert code == 9
    assert " ".join(err.split()) == " ".join(f"error: {error.text}".split())
    for line in err.splitlines():
        assert cell_len(line) <= width or path in line


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (
            "opstore yank REF --reason TEXT retires a version; opstore untag NAME TAG removes a tag",
            ["opstore yank REF --reason TEXT", "  retires a version;", "  opstore untag NAME TAG removes a tag"],
        ),
        (
            "to use it: opstore --url http://a:1 pull 'pca@>=1, <2', or log in (opstore login URL, there)",
            [
                "to use it:",
                "  opstore --url http://a:1 pull 'pca@>=1, <2',",
                "  or log in (opstore login URL, there)",
            ],
        ),
        ("this opstore daemon is another one", ["this opstore daemon is another", "  one"]),
    ],
)
def test_a_command_in_a_message_is_in_one_line_to_be_copied(text: str, lines: list[str]) -> None:
    assert wrap(text, 38, first=6, hang=2) == lines


def test_messages_are_one_line_off_a_terminal(opstore: Opstore) -> None:
    error = errors.OutputFailed(path="x", reason="words " * 99)
    assert opstore("ops", ops=error)[2].count("\n") == 1
