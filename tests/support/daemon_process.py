"""A daemon as a real process whose memory can be measured."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.http_client import Http


@dataclass(frozen=True)
class Process:
    """A running daemon."""

    http: Http
    port: int
    pid: int

    def peak(self) -> int:
        """Return its peak memory in bytes; without /proc, its memory now."""
        status = Path(f"/proc/{self.pid}/status")
        if status.exists():
            lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
            return int(lines["VmHWM"].split()[0]) * 1024
        listed = subprocess.run(["ps", "-o", "rss=", "-p", str(self.pid)], capture_output=True, check=True)  # noqa: S607
        return int(listed.stdout) * 1024


@contextmanager
def daemon_process(home: Path, *arguments: str) -> Iterator[Process]:
    """Run a daemon of that home for the block; `arguments` are those of `serve`."""
    reading, writing = os.pipe()
    environ = {**os.environ, "OPSTORE_HOME": str(home), "OPSTORE_READY_FD": str(writing)}
    command = [sys.executable, "-P", "-m", "opstore_daemon", "serve", *arguments]
    with (
        open(reading) as ready,
        subprocess.Popen(
            command, env=environ, pass_fds=[writing], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process,
    ):
        try:
            os.close(writing)
            url = json.loads(ready.readline())["url"]
            with Http(url, (home / "token").read_text().strip()) as http:
                yield Process(http, int(url.rpartition(":")[2]), process.pid)
        finally:
            process.terminate()
