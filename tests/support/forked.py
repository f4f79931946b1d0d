"""Start commands by fork servers: `ForkServer.start` is `subprocess.Popen` for one program, in a tenth of the time.

Use it for tests of what a command does. A test of how a process starts (imports, closed descriptors, signals while it
starts, `python -m`, pickling, limits) starts a real one.

A worker of the test session has one server for each package; `close_all` ends them.
"""

import functools
import io
import marshal
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from tests.support.fork_server import NUMBER, startup_settings

AVAILABLE = sys.platform.startswith("linux")  # other systems have no pidfds and start real processes
BIN = Path(sys.executable).parent
HERE = Path(__file__).parent
# The options of subprocess.Popen that `start` supports.
OPTIONS = {"cwd", "stdin", "stdout", "stderr", "pass_fds", "umask", "start_new_session"}
READY_WITHIN = 120.0  # seconds, for what takes one


class ForkServerDied(AssertionError):
    """The fork server ended while tests needed it."""


class Process:
    """A child of a fork server, with the methods of `subprocess.Popen` that tests use."""

    def __init__(
        self, arguments: Sequence[str], pid: int, connection: socket.socket, streams: Sequence[io.FileIO | None]
    ) -> None:
        self.args, self.pid = arguments, pid
        self.stdin, self.stdout, self.stderr = streams
        self.returncode: int | Any = None  # the type that typeshed gives Popen.returncode
        self._connection = connection

    def poll(self) -> int | None:
        """Return the exit code, or None while it runs."""
        if self.returncode is None and select.select([self._connection], [], [], 0)[0]:
            self._end()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end; return the exit code, negative for a signal. Raise subprocess.TimeoutExpired."""
        if self.returncode is None:
            if not select.select([self._connection], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
            self._end()
        assert self.returncode is not None
        return self.returncode

    def communicate(self, data: bytes | None = None, timeout: float | None = None) -> tuple[bytes, bytes]:
        """Write `data` to standard input and read both outputs to their end. Raise subprocess.TimeoutExpired."""
        deadline = None if timeout is None else time.monotonic() + timeout
        outputs = {stream: bytearray() for stream in (self.stdout, self.stderr) if stream is not None}
        reading = [stream for stream in outputs if not stream.closed]
        rest, writing = memoryview(data or b""), [self.stdin] if self.stdin is not None else []
        if self.stdin is not None and not rest:
            self.stdin.close()
        while reading or rest:
            left = None if deadline is None else max(deadline - time.monotonic(), 0)
            readable, writable, _ = select.select(reading, writing if rest else [], [], left)
            if not readable and not writable:
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
            if writable:
                rest = self._write(rest)
            for stream in readable:
                piece = os.read(stream.fileno(), 65536)
                outputs[stream] += piece
                if not piece:
                    reading.remove(stream)
                    stream.close()
        self.wait(None if deadline is None else max(deadline - time.monotonic(), 0))
        return self._of(outputs, self.stdout), self._of(outputs, self.stderr)

    @staticmethod
    def _of(outputs: dict[io.FileIO, bytearray], stream: io.FileIO | None) -> bytes:
        return b"" if stream is None else bytes(outputs[stream])

    def _write(self, rest: memoryview) -> memoryview:
        assert self.stdin is not None
        try:
            rest = rest[os.write(self.stdin.fileno(), rest[: select.PIPE_BUF]) :]
        except BrokenPipeError:
            rest = rest[len(rest) :]
        if not rest:
            self.stdin.close()
        return rest

    def send_signal(self, number: int) -> None:
        """Send a signal unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def abandon(self) -> None:
        """Leave it as this process would by ending: the server kills it."""
        self.returncode = -signal.SIGKILL
        self._connection.close()

    def _end(self) -> None:
        self.returncode = -signal.SIGKILL  # the child dies with its server
        try:
            self.returncode = _receive(self._connection)
        finally:
            self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for stream in (self.stdin, self.stdout, self.stderr):
            if stream is not None:
                stream.close()
        self.wait()


class ForkServer:
    """A process that forks commands of one package, for environments with these startup settings."""

    def __init__(self, package: str, settings: Mapping[str, str], daemons: "ForkServer | None" = None) -> None:
        self.package = package
        self._settings = dict(settings)
        self._daemons = daemons
        self.folder = Path(tempfile.mkdtemp(prefix="opstore-fork-"))
        self.children = self.folder / "children"
        self.children.mkdir()
        self._socket = str(self.folder / "socket")
        with (self.folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-P", HERE / "fork_server.py", package, self._socket, self.children],
                env={"PATH": os.defpath, **self._settings},
                stdin=subprocess.PIPE,  # the server ends when this is closed
                stdout=subprocess.PIPE,
                stderr=log,
                process_group=0,  # Ctrl-C interrupts the tests, which end the server
            )
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], READY_WITHIN)[0] or not self._process.stdout.readline():
            raise self._died()
        (self.folder / "bin").mkdir()
        name = "opstore" if package == "opstore_cli" else "python"
        self.program = self.folder / "bin" / name
        """A program that has this server start `opstore`, or what `python -P -m opstore_daemon` starts."""
        daemon = str(daemons.program) if daemons is not None else ""
        condition, skipped = ("true", 0) if name == "opstore" else ('[ "$1 $2 $3" = "-P -m opstore_daemon" ]', 3)
        self.program.write_text(
            f"#!/bin/sh\nif {condition}; then shift {skipped}\nexec '{sys.executable}' -IS '{HERE / 'stand_in.py'}'"
            f" '{self._socket}' '{BIN / name}' '{daemon}' \"$@\"\nfi\nexec '{BIN / name}' \"$@\"\n"
        )
        self.program.chmod(0o755)

    def serves(self, environment: Mapping[str, str]) -> bool:
        """Return whether a command with this environment can be forked."""
        return startup_settings(environment) == self._settings

    def start(
        self,
        arguments: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: str | os.PathLike[str],
        stdin: int | IO[bytes] | None = None,
        stdout: int | IO[bytes] | None = None,
        stderr: int | IO[bytes] | None = None,
        pass_fds: Sequence[int] = (),
        umask: int | None = None,
        start_new_session: bool = False,
    ) -> Process:
        """Start a command; the options are those of `subprocess.Popen`."""
        with ExitStack() as ours, ExitStack() as failed:
            streams: list[io.FileIO | None] = []
            theirs: list[int] = []
            for number, given in enumerate((stdin, stdout, stderr)):
                stream: io.FileIO | None = None
                if given == subprocess.PIPE:
                    pair = os.pipe()
                    descriptor = pair[number != 0]
                    ours.callback(os.close, descriptor)
                    stream = failed.enter_context(io.FileIO(pair[number == 0], "r" if number else "w"))
                elif given == subprocess.DEVNULL:
                    descriptor = os.open(os.devnull, os.O_RDWR)
                    ours.callback(os.close, descriptor)
                elif given == subprocess.STDOUT:
                    descriptor = theirs[1]
                elif isinstance(given, int):
                    descriptor = given
                else:
                    descriptor = number if given is None else given.fileno()
                streams.append(stream)
                theirs.append(descriptor)
            folder = os.open(cwd, os.O_RDONLY | os.O_DIRECTORY)
            ours.callback(os.close, folder)
            request = {
                "arguments": list(arguments),
                "environment": dict(env),
                "executable": str(self._daemons.program) if self._daemons is not None else "",
                "umask": _umask() if umask is None else umask,
                "session": None if start_new_session else os.getsid(0),
                "group": os.getpgid(0),
                "descriptors": [0, 1, 2, *pass_fds],
            }
            connection = failed.enter_context(socket.socket(socket.AF_UNIX))
            try:
                connection.connect(self._socket)
                message = marshal.dumps(request)
                socket.send_fds(connection, [len(message).to_bytes(NUMBER, "little")], [folder, *theirs, *pass_fds])
                connection.sendall(message)
                pid = _receive(connection)
            except (OSError, ForkServerDied):
                raise self._died() from None
            failed.pop_all()
        return Process(list(arguments), pid, connection, streams)

    def running(self, home: Path) -> list[int]:
        """Return the ids of the children that run with this OPSTORE_HOME."""
        found = []
        for child in self.children.iterdir():
            with suppress(FileNotFoundError):  # it ended
                if child.read_text() == str(home):
                    found.append(int(child.name))
        return found

    def close(self) -> None:
        """End the server, and the children that it still has."""
        self._process.communicate()
        shutil.rmtree(self.folder, ignore_errors=True)
        assert self._process.returncode == 0

    def kill(self) -> None:
        """End the server as a crash would; do nothing if it has ended."""
        self._process.kill()
        self._process.communicate()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _died(self) -> ForkServerDied:
        log = self.folder / "log"
        return ForkServerDied(f"the fork server died: {log.read_text() if log.exists() else 'it was ended'}")


def _receive(connection: socket.socket) -> int:
    data = b""
    while len(data) < NUMBER:
        piece = connection.recv(NUMBER - len(data))
        if not piece:
            raise ForkServerDied("the fork server died, or could not start the command")
        data += piece
    return int.from_bytes(data, "little", signed=True)


def _umask() -> int:
    # os.umask can only be read by setting it, while other threads create files.
    with open("/proc/self/status") as status:
        return next(int(line.split()[1], 8) for line in status if line.startswith("Umask:"))


_servers: list[ForkServer] = []


@functools.cache
def _server(package: str, settings: frozenset[tuple[str, str]], daemons: bool) -> ForkServer:
    of_daemons = _server("opstore_daemon", settings, False) if daemons else None
    server = ForkServer(package, dict(settings), of_daemons)
    _servers.append(server)
    return server


def fork_server(environment: Mapping[str, str], *, daemons: bool = True) -> ForkServer:
    """Return this worker's server of `opstore` for such environments. It has local daemons forked too if `daemons`."""
    return _server("opstore_cli", frozenset(startup_settings(environment).items()), daemons)


def daemon_server(environment: Mapping[str, str]) -> ForkServer:
    """Return this worker's server of `python -P -m opstore_daemon` for such environments."""
    return _server("opstore_daemon", frozenset(startup_settings(environment).items()), False)


def daemons_of(home: Path) -> list[int]:
    """Return the ids of the forked daemons that serve this data folder."""
    return [pid for server in _servers if server.package == "opstore_daemon" for pid in server.running(home)]


def close_all() -> None:
    """End all servers of this worker."""
    for server in reversed(_servers):
        server.close()
    _servers.clear()
    _server.cache_clear()
