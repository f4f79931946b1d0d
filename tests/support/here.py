"""Run the command line in this process, as a user of a machine: for tests that vary only the words of a command."""

import contextlib
import io
import json
import os
import sys
from pathlib import Path
from typing import Any
from unittest import mock

from opstore_cli.console.session import Session
from opstore_cli.main import main
from tests.support.machines import Machine, Triple


def run(machine: Machine, *words: str | bytes | Path) -> Triple:
    """Run a command; return what `machine.run` does."""
    streams = [io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="backslashreplace") for _ in range(2)]
    with (
        mock.patch.dict(os.environ, machine.environment, clear=True),
        contextlib.chdir(machine.cwd),
        mock.patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO())),
        mock.patch.object(sys, "stdout", streams[0]),
        mock.patch.object(sys, "stderr", streams[1]),
    ):
        code = main([os.fsdecode(word) for word in words], Session())
        out, err = (_written(stream) for stream in streams)
    return code, machine.tidy(out), machine.tidy(err)


def _written(stream: io.TextIOWrapper) -> str:
    stream.flush()
    buffer = stream.buffer
    assert isinstance(buffer, io.BytesIO)
    return buffer.getvalue().decode()


def ask(machine: Machine, *words: str | bytes | Path) -> tuple[int, Any, Any]:
    """Run a command with --json, before words that may belong to another command; return what `machine.ask` does."""
    return machine.documents(*run(machine, "--json", *words))


def refused(machine: Machine, *words: str | bytes | Path) -> str:
    """Check that the command exits 2 with and without --json, and without a traceback; return the message."""
    code, out, err = run(machine, *words)
    assert (code, out, "Traceback" in err) == (2, "", False), (words, err)
    code, document, error = ask(machine, *words)
    assert (code, document, set(error)) == (2, None, {"code", "message", "details", "hint"}), words
    # Lone surrogates are invalid Unicode, which many JSON parsers refuse.
    json.dumps(error, ensure_ascii=False).encode()
    return str(error["message"])
