"""Run a local daemon in a folder of its own, and commands that talk to it, as whole processes."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from benchmarks.measuring import MIB, empty

OPSTORE = shutil.which("opstore", path=str(Path(sys.executable).parent)) or "opstore"
TICKS = os.sysconf("SC_CLK_TCK")


class Ran(NamedTuple):
    """What a command took: wall seconds, its CPU seconds, the daemon's CPU seconds, and its peak memory in MiB."""

    seconds: float
    client: float
    daemon: float
    peak: float


class Daemon:
    """A daemon that runs while the context lasts."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.home = folder, folder / "home"
        # Without variables such as PYTHONDONTWRITEBYTECODE, which would make every process compile changed modules.
        self.environ = {
            **{key: value for key, value in os.environ.items() if not key.startswith(("OPSTORE_", "PYTHON"))},
            "OPSTORE_HOME": str(self.home),
        }

    def __enter__(self) -> Self:
        self.do("start")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.do("stop")

    @property
    def pid(self) -> int:
        return int(json.loads((self.home / "daemon.json").read_text())["pid"])

    @property
    def url(self) -> str:
        return str(json.loads((self.home / "daemon.json").read_text())["url"])

    @property
    def token(self) -> str:
        return (self.home / "token").read_text().strip()

    def do(self, *words: object) -> Ran:
        """Run a command that has to succeed."""
        used = self.used()
        process = self.begin(*words)
        began = time.perf_counter()
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"opstore {' '.join(map(str, words))} ended with {process.returncode}")
        return Ran(seconds, usage.ru_utime + usage.ru_stime, self.used() - used, usage.ru_maxrss / 1024)

    def begin(self, *words: object, **more: str) -> "subprocess.Popen[bytes]":
        """Start a command."""
        command = [OPSTORE, *map(str, words)]
        return subprocess.Popen(
            command, env=self.environ | more, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=self.folder
        )

    def peak(self) -> float:
        """Return the daemon's peak resident memory so far, in MiB."""
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{self.pid}/status").read_text())
        assert found is not None
        return int(found[1]) / 1024

    def blob(self) -> Path:
        """Return the path of the only blob."""
        (blob,) = [path for path in (self.home / "blobs" / "blobs").rglob("*") if path.is_file()]
        return blob

    def forget_blobs(self) -> None:
        """Delete all blobs, so that the next push has something to send and the disk does not fill up."""
        empty(self.home / "blobs" / "blobs")

    def staged(self) -> int:
        """Return the bytes of unfinished uploads."""
        return sum(path.stat().st_size for path in (self.home / "blobs" / "staging").iterdir())

    def used(self) -> float:
        """Return the CPU seconds that the daemon has used, 0 if none runs."""
        try:
            fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        except (OSError, ValueError, KeyError):
            return 0.0
        return (int(fields[11]) + int(fields[12])) / TICKS


def large(size: int) -> str:
    """Return a size in words."""
    return f"{size // MIB // 1024} GiB" if size >= 1024 * MIB else f"{size // MIB} MiB" if size >= MIB else f"{size} B"
