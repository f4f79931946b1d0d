"""A program in an emulated terminal (pyte): tests type into it and read its screen."""

import os
import pty
import select
import shutil
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from fcntl import ioctl
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyte

from tests.support.waiting import WITHIN


def printed(words: Sequence[str], env: Mapping[str, str], cwd: Path, columns: int, rows: int = 40) -> str:
    """Run a program to its end on a terminal of that width; return its output."""
    own, there = _opened(columns, rows)
    with subprocess.Popen(words, env=env, cwd=cwd, stdin=there, stdout=there, stderr=there) as process:
        os.close(there)
        found = b""
        with suppress(OSError):  # how Linux reports that the other end is closed
            while data := os.read(own, 65536):
                found += data
        process.wait(WITHIN)
    os.close(own)
    return found.decode().replace("\r\n", "\n")


def _opened(columns: int, rows: int) -> tuple[int, int]:
    """Open a terminal; return our end and the program's."""
    own, there = pty.openpty()
    ioctl(there, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    return own, there


class Terminal:
    """A program that runs in a terminal of so many columns and rows."""

    def __init__(
        self, words: Sequence[str], env: Mapping[str, str], cwd: Path, *, columns: int = 80, rows: int = 40
    ) -> None:
        self._screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self._screen)
        self._own, there = _opened(columns, rows)
        self._process = subprocess.Popen(
            [shutil.which("setsid") or "setsid", "--ctty", *words],  # a shell needs a controlling terminal
            env={**env, "TERM": "xterm"},
            cwd=cwd,
            stdin=there,
            stdout=there,
            stderr=there,
        )
        os.close(there)

    @property
    def lines(self) -> list[str]:
        """Return the lines of the screen that are not empty."""
        return [line.rstrip() for line in self._screen.display if line.strip()]

    def enter(self, text: str) -> None:
        """Type the text; a Tab is `\\t`."""
        os.write(self._own, text.encode())

    def wait_for(self, seen: Callable[[list[str]], Any], what: str) -> list[str]:
        """Wait until `seen` holds for the lines of the screen; return them."""
        deadline = time.monotonic() + WITHIN
        while not seen(self.lines):
            left = deadline - time.monotonic()
            screen = "\n".join(self.lines)
            assert left > 0, f"never seen: {what}; the screen is\n{screen}"
            if select.select([self._own], [], [], min(left, 1.0))[0]:
                self._read()
        return self.lines

    def _read(self) -> None:
        try:
            data = os.read(self._own, 65536)
        except OSError:
            raise AssertionError(f"the program ended; the screen is {self.lines}") from None
        self._stream.feed(data)
        if b"\x1b[c" in data or b"\x1b[0c" in data:
            os.write(self._own, b"\x1b[?6c")  # fish queries the terminal type and waits for the response

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        os.close(self._own)
