"""What the program that reads an old op store may do wrong."""

import sys
from pathlib import Path

import pytest

from opstore_cli.importers import chariots_source
from opstore_daemon.protocol import errors


@pytest.mark.skipif(sys.platform == "win32", reason="a script stands in for Python")
@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("exit 3", "exit code 3"),
        ("echo Traceback >&2; echo 'MemoryError' >&2; exit 1", "MemoryError"),
        ("echo 'no line of JSON'", "JSON is malformed"),
        ("""echo '{"line":"stranger"}'""", "Invalid value 'stranger'"),
        ("""echo '{"line":"pipeline","name":"p","links":[]}'; kill -9 $$""", "exit code -9"),
    ],
)
def test_a_program_that_fails_is_not_taken_for_an_empty_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, reason: str
) -> None:
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(program))
    with pytest.raises(errors.OldStoreUnreadable, match=reason):
        chariots_source.read("sqlite:///x")
