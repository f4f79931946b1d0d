"""A warmed process that forks one real child per command: starting Python and importing the program happens once.

Run as `python -P fork_server.py PACKAGE SOCKET CHILDREN`. The process imports PACKAGE (`opstore_cli` or
`opstore_daemon`), listens on the Unix socket SOCKET, and prints one line when it is ready. It ends, and kills the
children that are left, when its standard input reaches the end: its tests are over or were killed.

Protocol, one connection for each command (`tests.support.forked` and `tests.support.stand_in` are its clients):

1. The client sends the length of the request (4 bytes), and with these bytes the descriptors (SCM_RIGHTS): first the
   working folder, then those that the child gets as the numbers in `request["descriptors"]`.
2. The client sends the request, a dict in the format of `marshal` (the client `stand_in` can't afford to import more).
3. The child sends its process id (4 bytes) when it has its process group, folder, umask and environment.
4. The server sends the exit code (4 bytes), negative for a signal, when the child has ended. It keeps the child as a
   zombie until the client closes the connection, so that the client never signals a process that reuses the id.
   If the client closes the connection earlier, the server kills the child.

A child must not differ from a process that started by itself. `_become` sets all that a process inherits; what the
interpreter reads only once as it starts (`STARTUP_VARIABLES`) has to be equal in server and request. At its end a child
joins its threads, runs its exit handlers and flushes its streams; it does not destroy every module, as a process does
last of all, because that would take half of its time.
"""

import atexit
import fcntl
import gc
import importlib
import importlib.util
import io
import marshal
import os
import pkgutil
import runpy
import select
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

STARTUP_VARIABLES = ("PYTHON", "LC_", "LANG", "OPENSSL_", "LD_")  # prefixes: read once, when a process starts
NUMBER = 4  # bytes of each number on the socket
MOST_DESCRIPTORS = 64
# What the packages import only when they need it.
LATE = {
    "opstore_cli": ("requests", "rich.console", "rich.progress", "rich.table", "tomli_w", "tomllib", "urllib3", "uuid"),
    "opstore_daemon": (
        "alembic.command",
        "encodings.idna",
        "xxhash",
        "sqlalchemy.dialects.sqlite.pysqlite",
        "logging.config",
        "waitress.server",
    ),
}
# Not imported: they need NumPy, which starts threads.
LEFT_OUT = ("opstore_daemon.web.page.graph_drawing", "opstore_daemon.web.page.graph_layout")


def startup_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of an environment that a process reads only as it starts."""
    return {name: value for name, value in environment.items() if name.startswith(STARTUP_VARIABLES)}


@dataclass(frozen=True)
class Child:
    """A child whose client has not closed the connection yet."""

    pid: int
    pidfd: int
    connection: socket.socket


class Server:
    """Forks children on request. In each child, `serve` returns what the child has to run."""

    def __init__(self, package: str, path: str, children: Path) -> None:
        self._package, self._records = package, children
        self._environment = startup_settings(os.environ)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        self._listener.listen(64)
        self._poll = select.epoll()
        self._poll.register(0, select.EPOLLIN)
        self._poll.register(self._listener, select.EPOLLIN)
        self._by_pidfd: dict[int, Child] = {}
        self._by_connection: dict[int, Child] = {}

    def serve(self) -> Callable[[], object]:
        """Serve until standard input ends; return only in a child."""
        while True:
            for number, _ in self._poll.poll():
                if number == 0:
                    self._end()
                elif number in self._by_pidfd:
                    self._report(self._by_pidfd[number])
                elif number in self._by_connection:
                    self._forget(self._by_connection[number])
                elif number == self._listener.fileno():
                    run = self._accept()
                    if run is not None:
                        return run

    def _accept(self) -> Callable[[], object] | None:
        connection, _ = self._listener.accept()
        length, descriptors, _, _ = socket.recv_fds(connection, NUMBER, MOST_DESCRIPTORS)
        request = marshal.loads(_read(connection, int.from_bytes(length, "little")))  # noqa: S302 - from our own tests
        different = startup_settings(request["environment"]) != self._environment
        assert not different, f"{startup_settings(request['environment'])} is not {self._environment}"
        _check_threads()
        pid = os.fork()
        if pid == 0:
            return self._become(request, descriptors, connection)
        for each in descriptors:
            os.close(each)
        (self._records / str(pid)).write_text(request["environment"].get("OPSTORE_HOME", ""))
        child = Child(pid, os.pidfd_open(pid), connection)
        self._by_pidfd[child.pidfd] = self._by_connection[connection.fileno()] = child
        self._poll.register(child.pidfd, select.EPOLLIN)
        self._poll.register(connection, select.EPOLLIN)
        return None

    def _report(self, child: Child) -> None:
        """Send the exit code of a child that has ended."""
        self._poll.unregister(child.pidfd)
        del self._by_pidfd[child.pidfd]
        os.close(child.pidfd)
        ended = os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert ended is not None
        code = ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status
        (self._records / str(child.pid)).unlink()
        with suppress(BrokenPipeError):  # the client was killed, so its connection ends too
            child.connection.sendall(code.to_bytes(NUMBER, "little", signed=True))

    def _forget(self, child: Child) -> None:
        """Reap a child whose client has closed the connection; kill it first if it still runs."""
        if self._by_pidfd.get(child.pidfd) is child:  # and no other child whose descriptor has the same number by now
            os.kill(child.pid, signal.SIGKILL)
            select.select([child.pidfd], [], [])
            self._report(child)
        os.waitpid(child.pid, 0)
        # A child that was just forked may still hold a copy, and closing ours would leave it in the poll.
        self._poll.unregister(child.connection)
        del self._by_connection[child.connection.fileno()]
        child.connection.close()

    def _end(self) -> None:
        for child in self._by_pidfd.values():
            os.kill(child.pid, signal.SIGKILL)
        os._exit(0)

    def _become(
        self, request: dict[str, Any], descriptors: list[int], connection: socket.socket
    ) -> Callable[[], object]:
        """Make this child what a process would be that its client had started."""
        # No object of the server may later close a descriptor that the child reuses.
        self._poll.close()
        for each in (self._listener, *(child.connection for child in self._by_connection.values())):
            each.detach()
        if request["session"] == os.getsid(0):  # 0 in a PID namespace that the session began outside of
            os.setpgid(0, request["group"])
        else:
            os.setsid()  # a new one is wanted, or another one, which nobody can join
        folder, *passed = descriptors
        os.fchdir(folder)
        os.umask(request["umask"])
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.environ.clear()
        os.environ.update(request["environment"])
        time.tzset()
        sys.argv[:] = request["arguments"]
        sys.executable = request["executable"] or sys.executable
        connection.sendall(os.getpid().to_bytes(NUMBER, "little", signed=True))
        connection.detach()
        _place(dict(zip(request["descriptors"], passed, strict=True)))
        for number, name in enumerate(("stdin", "stdout", "stderr")):
            stream = _stream(number, name, getattr(sys, name))
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)
        gc.enable()
        return _PROGRAMS[self._package]


def _read(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = connection.recv(size - len(data))
        assert piece, "the client went away in the middle of its request"
        data += piece
    return data


def _place(wanted: dict[int, int]) -> None:
    """Give each descriptor its number, and close all others."""
    above = max(*wanted, *wanted.values()) + 1
    copies = [fcntl.fcntl(source, fcntl.F_DUPFD_CLOEXEC, above) for source in wanted.values()]
    for number, copy in zip(wanted, copies, strict=True):
        os.dup2(copy, number)
    for name in os.listdir("/proc/self/fd"):
        if int(name) not in wanted:
            with suppress(OSError):  # the descriptor of the listing itself
                os.close(int(name))


def _stream(number: int, name: str, like: TextIO) -> TextIO:
    """Return a standard stream as the interpreter makes it."""
    raw = io.FileIO(number, "w" if number else "r", closefd=False)
    raw.name = f"<{name}>"
    return io.TextIOWrapper(
        io.BufferedWriter(raw) if number else io.BufferedReader(raw),
        encoding=like.encoding,
        errors=like.errors,
        newline="\n" if number else None,
        line_buffering=number == 2 or raw.isatty(),
    )


def _run_cli() -> object:
    from opstore_cli.main import run

    return run()


def _run_daemon() -> object:
    return runpy.run_module("opstore_daemon", run_name="__main__", alter_sys=True)


_PROGRAMS = {"opstore_cli": _run_cli, "opstore_daemon": _run_daemon}


def _import(package: str) -> None:
    """Import the package with all of its modules, and what they import late."""
    path = importlib.import_module(package).__path__
    for module in pkgutil.walk_packages(path, f"{package}."):
        if not module.name.endswith(".__main__") and ".migrations." not in module.name and module.name not in LEFT_OUT:
            importlib.import_module(module.name)
    for name in LATE[package]:
        importlib.import_module(name)
    if package == "opstore_daemon":
        _open_a_server()
    assert tempfile.tempdir is None, "it depends on the environment"
    _check_threads()


def _open_a_server() -> None:
    """Open a server once: what it imports and remembers then, no child has to import and compile."""
    from opstore_daemon import OpStoreServer
    from opstore_daemon.savers import MemorySaver

    # By its path: nothing else of the tests is imported, nor can be by the children.
    spec = importlib.util.spec_from_file_location("compiled", Path(__file__).with_name("compiled.py"))
    assert spec is not None
    assert spec.loader is not None
    compiled = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(compiled)
    compiled.remember()
    OpStoreServer(MemorySaver(), token="t" * 43).close()


def _check_threads() -> None:
    # A child has only the thread that forked: locks held by other threads would never be released.
    count = len(os.listdir("/proc/self/task"))
    assert threading.active_count() == count == 1, f"a module that was imported started {count - 1} threads"


_exit_code: object = None  # of a child that was asked to exit


def _leave() -> None:
    """End a child at once. Of all exit handlers this one runs last; other ways to end are left to the interpreter."""
    if isinstance(_exit_code, int):
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        except (OSError, ValueError):
            return  # the interpreter tries again, and exits with 120
        os._exit(_exit_code & 0xFF)


def main() -> Callable[[], object]:
    """Serve; return, in each child, what it has to run."""
    package, path, children = sys.argv[1:]
    atexit.register(_leave)
    gc.disable()
    _import(package)
    server = Server(package, path, Path(children))
    gc.collect()
    gc.freeze()  # or the first collection of each child would copy all pages
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    return server.serve()


if __name__ == "__main__":
    run = main()
    # At the top level, so that exceptions, exit codes, threads and `atexit` work as in any program.
    try:
        run()
    except SystemExit as exit_:
        _exit_code = exit_.code or 0
        raise
