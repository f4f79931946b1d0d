"""Run the daemon's program for a backup, a restore or a migration, and yield what it reports."""

import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import IO

import msgspec

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.backup_lines import Failed, Lines, Moved, Problem, Result

ENDING = 10.0  # seconds that the program gets to delete its incomplete file after Ctrl-C


def run(command: str, words: Sequence[str]) -> Iterator[Moved | Problem | Result]:
    """Run `backup`, `restore` or `migrate` of the daemon's program, and yield its lines; raise the error that ended it.

    It is a process of its own because the command line imports no database library. Ctrl-C ends it, too.
    """
    # -P: import nothing from the working directory. In a group of its own, it gets one SIGINT only, from us.
    program = [sys.executable, "-P", "-m", "opstore_daemon", command, "--lines", *words]
    with tempfile.TemporaryFile() as stderr:
        process = subprocess.Popen(
            program, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr, process_group=0
        )
        assert process.stdout is not None  # noqa: S101
        try:
            with process.stdout:
                yield from _lines(process.stdout)
            code = process.wait()
        except BaseException:
            _end(process)
            raise
        if code < 0:
            raise errors.BackupKilled(command=command, signal=signal.Signals(-code).name)
        if code != 0:
            raise RuntimeError(f"opstore_daemon {command} ended with the exit code {code}: {_last_line(stderr)}")


def _lines(stream: IO[bytes]) -> Iterator[Moved | Problem | Result]:
    for data in stream:
        line: Lines = msgspec.json.decode(data, type=Lines)
        if isinstance(line, Failed):
            raise errors.from_wire(line.code, line.status, line.text, line.hint, line.details)
        yield line


def _end(process: "subprocess.Popen[bytes]") -> None:
    with suppress(ProcessLookupError):
        process.send_signal(signal.SIGINT)
    try:
        process.wait(ENDING)
    except subprocess.TimeoutExpired:
        process.kill()  # a disk that does not respond; the next run deletes what it leaves
        process.wait()


def _last_line(stderr: IO[bytes]) -> str:
    stderr.seek(0)
    lines = stderr.read().decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it printed nothing"
