"""Faults by strace, which sees every call of a process, those of SQLite and of Python itself too."""

import os
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.faults.points import CHANGES, KILL, LOOKS, Fault, Point

_WRITES = re.compile(r"O_(CREAT|RDWR|WRONLY|TRUNC)")


@contextmanager
def attached(pid: int, trace: Path, fault: Fault | None) -> Iterator[None]:
    """Trace the process until it ends, which the context has to wait for."""
    names = ",".join(f"?{call}" for call in sorted(CHANGES | LOOKS))  # ?: not every system has each of them
    inject = []
    if fault is not None:
        what = "signal=KILL" if fault.what == KILL else f"error={fault.what}"
        inject = ["-e", f"inject={fault.point.call}:{what}:when={fault.point.number}"]
    command = ["strace", "-y", "-o", str(trace), "-e", f"trace={names}", *inject, "-p", str(pid)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        assert b"attached" in line, line
        yield
        process.communicate()


def read(trace: Path, home: Path) -> tuple[list[Point], bool]:
    """Return the calls on files of the home up to the first outcome, and whether a fault occurred."""
    lines = trace.read_text(errors="replace").splitlines()
    return list(_points(lines, home)), any("(INJECTED)" in line for line in lines)


def _points(lines: list[str], home: Path) -> Iterator[Point]:
    counts: Counter[str] = Counter()
    for line in lines:
        found = re.match(r"(\w+)\((.*)", line)
        if found is None:
            continue
        call, arguments = found.groups()
        counts[call] += 1  # as strace counts: those on other files, too
        if call == "write" and arguments.startswith("1<"):
            return
        files = re.findall(re.escape(str(home)) + r'([^">]*)[">]', arguments)
        if files:
            changes = call in CHANGES and (call not in ("openat", "open") or _WRITES.search(arguments) is not None)
            yield Point(call, counts[call], " ".join(file.strip("/") for file in files), changes)


def why_not() -> str | None:
    """Return why strace can't be used here; None if it can."""
    if shutil.which("strace") is None:
        return "there is no strace"
    command = ["strace", "-o", os.devnull, "-e", "trace=fsync", "-e", "inject=fsync:error=EIO:when=1", "true"]
    tried = subprocess.run(command, capture_output=True, check=False)
    return None if tried.returncode == 0 else f"strace is refused: {tried.stderr.decode(errors='replace').strip()}"
