"""A daemon as a process of its own whose memory can be measured."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.daemon import Daemon
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
def daemon_process(home: Path, *arguments: str, **environ: str) -> Iterator[Process]:
    """Run a daemon of that home for the block; `arguments` are those of `serve`, `environ` more of its variables."""
    daemon = Daemon.start(home, arguments, (), False, **environ)
    try:
        with Http(daemon.url, daemon.token) as http:
            yield Process(http, daemon.address[1], daemon.process.pid)
    finally:
        daemon.stop()
