"""The daemon as a process of its own, and a client on `http.client`.

A fork server starts it, unless it is to be `real` (a test of what only an interpreter that starts does) or words before
its command start something else first.
"""

import http.client
import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from opstore_daemon.protocol import routes
from tests.support import forked
from tests.support.waiting import WITHIN

COMMAND = [sys.executable, "-P", "-m", "opstore_daemon"]


def environment(home: Path, **more: str) -> dict[str, str]:
    """Return the environment for a daemon of this home: of ours only what Python needs."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "PYTHONPATH") if name in os.environ}
    return {**kept, "LC_ALL": "C.UTF-8", "PYTHONWARNINGS": "error", "OPSTORE_HOME": str(home), **more}


def begin(
    home: Path,
    arguments: Sequence[str],
    environ: Mapping[str, str],
    *,
    enter: Sequence[str] = (),
    real: bool = False,
    **options: Any,
) -> forked.Process | subprocess.Popen[bytes]:
    """Start `python -P -m opstore_daemon` beside the home; the options are those of `subprocess.Popen`."""
    options = {"cwd": home.parent, "stdin": subprocess.DEVNULL, **options}
    if enter or real or not forked.AVAILABLE:
        return subprocess.Popen([*enter, *COMMAND, *arguments], env=environ, **options)
    return forked.daemon_server(environ).start([COMMAND[0], *arguments], env=environ, **options)


def run(home: Path, *arguments: str, enter: Sequence[str] = (), **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a command of `python -m opstore_daemon` to its end; `enter` are words before it."""
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = begin(home, arguments, environment(home, **environ), enter=enter, **pipes)
    with process:
        try:
            out, err = process.communicate(timeout=WITHIN)
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess(arguments, process.returncode, out.decode(), err.decode())


@dataclass
class Daemon:
    """A running daemon. `ready` is the line that it wrote to the pipe of its starter."""

    home: Path
    process: forked.Process | subprocess.Popen[bytes]
    ready: dict[str, Any]

    @classmethod
    def start(
        cls, home: Path, arguments: Sequence[str] = (), enter: Sequence[str] = (), real: bool = False, **environ: str
    ) -> "Daemon":
        """Start a daemon; wait until it is ready or reports why it is not. `enter` are words before its command."""
        reader, writer = os.pipe()
        try:
            variables = environment(home, OPSTORE_READY_FD=str(writer), **environ)
            quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "pass_fds": [writer]}
            process = begin(home, ["serve", *arguments], variables, enter=enter, real=real, **quiet)
        finally:
            os.close(writer)
        with open(reader) as pipe:
            line = pipe.read()
        return cls(home, process, json.loads(line) if line else {})

    @property
    def url(self) -> str:
        """Return the URL that it listens at."""
        return str(self.ready["url"])

    @property
    def address(self) -> tuple[str, int]:
        """Return host and port."""
        parts = urlsplit(self.url)
        return parts.hostname or "", parts.port or 0

    @property
    def token(self) -> str:
        """Return the token of its home."""
        return (self.home / "token").read_text().strip()

    @property
    def runtime_file(self) -> Path:
        """Return the path of the runtime file."""
        return self.home / "daemon.json"

    def ends(self) -> int:
        """Wait for its end; return the exit code."""
        return self.process.wait(WITHIN)

    def stop(self) -> int:
        """Send SIGTERM and wait for its end; return the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.ends()

    def kill(self) -> None:
        """Kill it."""
        self.process.kill()
        self.ends()

    def ask(
        self, method: str, path: str, body: bytes | dict[str, Any] | None = None, **headers: str
    ) -> tuple[int, dict[str, Any]]:
        """Send a request on a connection of its own; return the status and the JSON of the response."""
        connection = http.client.HTTPConnection(*self.address, timeout=WITHIN)
        try:
            connection.request(method, path, *self.message(body, **headers))
            answer = connection.getresponse()
            data = answer.read()
        finally:
            connection.close()
        found: dict[str, Any] = json.loads(data) if "json" in (answer.headers["Content-Type"] or "") else {}
        return answer.status, found

    def message(self, body: bytes | dict[str, Any] | None, **headers: str) -> tuple[bytes | None, dict[str, str]]:
        """Return body and headers of a request."""
        sent = {"Authorization": f"Bearer {self.token}"}
        if isinstance(body, dict):
            sent["Content-Type"] = routes.JSON
            body = json.dumps(body).encode()
        elif body is not None:
            sent["Content-Type"] = routes.APPEND_TYPE
        return body, sent | {name.replace("_", "-"): value for name, value in headers.items()}

    def begin_upload(self, size: int | None = None) -> str:
        """Create an upload; return its id."""
        status, response = self.ask("POST", routes.UPLOADS, {"size": size})
        assert status == 201, response
        return str(response["upload"])

    def append(self, upload: str, offset: int, data: bytes) -> int:
        """Append bytes; return the new offset."""
        status, response = self.ask("PATCH", routes.path(routes.UPLOAD, upload=upload), data, Upload_Offset=str(offset))
        assert status == 200, response
        return int(response["offset"])

    def push(self, op: str, data: bytes, **more: Any) -> dict[str, Any]:
        """Push the bytes; return the version."""
        upload = self.begin_upload(len(data))
        self.append(upload, 0, data)
        path = routes.path(routes.VERSIONS, op=op)
        status, response = self.ask("POST", path, {"upload": upload, **more}, Idempotency_Key=uuid.uuid4().hex)
        assert status in (200, 201), response
        return response

    def pull(self, op: str, selector: str = "latest") -> bytes:
        """Return the bytes of a version."""
        connection = http.client.HTTPConnection(*self.address, timeout=WITHIN)
        try:
            path = routes.path(routes.BYTES, op=op, selector=selector)
            connection.request("GET", path, headers=self.message(None)[1])
            answer = connection.getresponse()
            assert answer.status == 200, answer.read()
            return answer.read()
        finally:
            connection.close()


@contextmanager
def killed_at_the_end() -> Iterator[list[Daemon]]:
    """Yield a list of daemons, and kill those that still run when the context ends."""
    started: list[Daemon] = []
    try:
        yield started
    finally:
        for daemon in started:
            if daemon.process.poll() is None:
                daemon.kill()
