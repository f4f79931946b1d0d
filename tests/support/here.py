"""Run the command line in this process, as a user of a machine: for tests that vary only the words of a command."""

import contextlib
import io
import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest import mock

from opstore_cli.console.session import Session
from opstore_cli.local import launcher
from opstore_cli.main import main
from tests.support import forked

if TYPE_CHECKING:
    from tests.support.machines import Machine, Triple

# Commands that become another program or run one: as processes they have fork servers start it.
PROCESSES = {"serve", "db", "migrate", "backup", "restore", "doctor", "chariots", "--run", "--from-command"}


def can_run(words: Sequence[str | bytes | Path], options: Mapping[str, Any]) -> bool:
    """Return whether `run` has the effect of a process with these words and these options of `Machine.begin`."""
    return (
        forked.AVAILABLE
        and not options
        and not PROCESSES.intersection(words)
        and threading.current_thread() is threading.main_thread()  # environment and folder are those of all threads
    )


def run(machine: "Machine", *words: str | bytes | Path) -> "Triple":
    """Run a command; return what `machine.run` does."""
    code, out, err = raw(machine, *words)
    return code, machine.tidy(out.decode()), machine.tidy(err.decode())


def raw(machine: "Machine", *words: str | bytes | Path) -> tuple[int, bytes, bytes]:
    """Run a command; return what `machine.raw` does."""
    streams = [io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="backslashreplace") for _ in range(2)]
    with (
        mock.patch.dict(os.environ, machine.environment, clear=True),
        contextlib.chdir(machine.cwd),
        mock.patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO())),
        mock.patch.object(sys, "stdout", streams[0]),
        mock.patch.object(sys, "stderr", streams[1]),
        mock.patch.object(launcher, "subprocess", SimpleNamespace(Popen=_popen, DEVNULL=subprocess.DEVNULL)),
        mock.patch.object(os, "execv", side_effect=AssertionError("the command would become another program")),
    ):
        code = main([os.fsdecode(word) for word in words], Session())
        out, err = (_written(stream) for stream in streams)
    return code, out, err


def _popen(
    words: list[str], *, env: dict[str, str], close_fds: bool, **options: Any
) -> "subprocess.Popen[bytes] | forked.Process":
    """Start a local daemon by the fork server, as commands that are processes do."""
    server = forked.daemon_server(env)
    assert words[1:4] == ["-P", "-m", "opstore_daemon"]
    return server.start([words[0], *words[4:]], env=env, **options)


def _written(stream: io.TextIOWrapper) -> bytes:
    stream.flush()
    buffer = stream.buffer
    assert isinstance(buffer, io.BytesIO)
    return buffer.getvalue()


def ask(machine: "Machine", *words: str | bytes | Path) -> tuple[int, Any, Any]:
    """Run a command with --json, before words that may belong to another command; return what `machine.ask` does."""
    return machine.documents(*run(machine, "--json", *words))


def refused(machine: "Machine", *words: str | bytes | Path) -> str:
    """Check that the command exits 2 with and without --json, and without a traceback; return the message."""
    code, out, err = run(machine, *words)
    assert (code, out, "Traceback" in err) == (2, "", False), (words, err)
    code, document, error = ask(machine, *words)
    assert (code, document, set(error)) == (2, None, {"code", "message", "details", "hint"}), words
    # Lone surrogates are invalid Unicode, which many JSON parsers refuse.
    json.dumps(error, ensure_ascii=False).encode()
    return str(error["message"])
