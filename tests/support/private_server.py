"""A server as a process of its own: in a private folder, by an unprivileged user, gone when the tests are.

`shared` starts one server for all processes of a pytest run, when the first test asks for it.
"""

import fcntl
import json
import os
import pwd
import random
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self, TypeVar

from tests.support.memory_folder import memory_folder
from tests.support.processes import is_running
from tests.support.waiting import WITHIN, wait_for

KEEPER = Path(__file__).with_name("keeper.py")
USER = "nobody"
# Below the ports from which the kernel takes those of outgoing connections: a stopped server finds its own free again.
PORTS = range(10_000, 32_000)
ATTEMPTS = 5  # to find ports that nobody else takes in the meantime
TAIL = 4000  # characters of a log


class ServerFailed(Exception):
    """A private server did not start; the message ends with the tail of its log."""


class PrivateServer:
    """A server in a folder of its own that is deleted with it. `log` is its output.

    It ends when all processes that use it have ended or closed it, also if they are killed.
    """

    NAME: ClassVar[str]
    PORTS: ClassVar[int] = 1
    END: ClassVar[signal.Signals] = signal.SIGKILL
    """The signal that ends it at once."""
    IN_MEMORY: ClassVar[bool] = False
    """Whether its files are in memory if there is room, also where TMPDIR is on a disk."""

    def __init__(self, *, log: Path | None = None) -> None:
        self.user = unprivileged_user()
        self.folder = _new_folder(self.user, in_memory=self.IN_MEMORY)
        self.log = log or self.folder / "log"
        self.secret = secrets.token_hex(12)
        self.ports: list[int] = []
        self.pid = 0
        (self.folder / "lock").touch()
        self._lock = self._hold()
        self._keepers: list[subprocess.Popen[bytes]] = []
        self._is_shared = False

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def is_running(self) -> bool:
        return self.pid > 0 and is_running(self.pid)

    def start(self) -> None:
        """Start it and wait until it serves; on the same ports as before, if it has been started before."""
        if self.pid:
            self._run()
            return
        try:
            self._prepare()
            for attempt in range(1, ATTEMPTS + 1):
                self.ports = free_ports(self.PORTS)
                try:
                    self._run()
                    break
                except ServerFailed as failure:
                    if attempt == ATTEMPTS or "in use" not in str(failure):
                        raise
        except BaseException:
            self.close()
            raise

    def stop(self) -> None:
        """Stop it in order, and wait until it has ended."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """Kill it (-9), and wait until it has ended."""
        self._signal(signal.SIGKILL)

    def restart(self) -> None:
        """Stop it in order and start it again."""
        self.stop()
        self.start()

    def close(self) -> None:
        """End it, unless other processes use it; wait for the end of what this process has started."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
        for keeper in self._keepers:
            keeper.wait()
        if not self._is_shared:
            shutil.rmtree(self.folder, ignore_errors=True)
        self._keepers.clear()

    def check(self) -> None:
        """Raise ServerFailed if it does not run: then it has crashed, or a test has stopped it."""
        if not self.is_running:
            raise ServerFailed(f"{self.NAME} has ended; its log:\n{self._said()}")

    def run(self, *command: str | Path) -> None:
        """Run a command as the user of the server, for its preparation."""
        words = [str(word) for word in command]
        user = {} if self.user is None else {"user": self.user[0], "group": self.user[1], "extra_groups": ()}
        done = subprocess.run(
            words, env=self._environ(), cwd=self.folder, capture_output=True, text=True, check=False, **user
        )  # type: ignore[call-overload]
        if done.returncode:
            raise ServerFailed(f"{self.NAME}: {words[0]} ended with {done.returncode}:\n{done.stdout}{done.stderr}")

    def give(self, path: Path) -> None:
        """Make the user of the server the owner of a path."""
        if self.user is not None:
            os.chown(path, *self.user)

    def program(self, path: Path, *beside: Path) -> Path:
        """Return the path of a program, or of a copy if the server's user can't reach it. `beside`: what it needs."""
        if self.user is None or _is_open(path):
            return path
        above = Path(os.path.commonpath([path, *beside])) if beside else path.parent
        for each in beside or [path]:
            target = self.folder / "programs" / each.relative_to(above)
            target.parent.mkdir(parents=True, exist_ok=True)
            if each.is_dir() and not target.exists():
                shutil.copytree(each, target, symlinks=True)
            elif not target.exists():
                shutil.copy(each, target)
        return self.folder / "programs" / path.relative_to(above)

    def _prepare(self) -> None:
        """Create what the server needs before its first start."""

    def _command(self) -> Sequence[str | Path]:
        raise NotImplementedError

    def _environ(self) -> Mapping[str, str]:
        return {"HOME": str(self.folder), "TMPDIR": str(self.folder), "PATH": os.defpath, "LC_ALL": "C"}

    def _serves(self) -> bool:
        """Return whether it does what tests need."""
        raise NotImplementedError

    def _leftovers(self) -> Sequence[str]:
        """Return the paths outside of the folder that the server creates."""
        return ()

    def _run(self) -> None:
        orders = {
            "folder": str(self.folder),
            "log": str(self.log),
            "command": [str(word) for word in self._command()],
            "environ": dict(self._environ()),
            "user": self.user,
            "signal": self.END,
            "leftovers": list(self._leftovers()),
        }
        started = self.log.stat().st_size if self.log.exists() else 0
        with open(self.log, "ab") as log:
            keeper = subprocess.Popen(
                [sys.executable, "-I", "-S", str(KEEPER), json.dumps(orders)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        self._keepers.append(keeper)
        assert keeper.stdout is not None
        with keeper.stdout as written:
            self.pid = int(written.readline() or 0)
        with suppress(AssertionError):
            wait_for(lambda: not self.is_running or self._serves(), f"the start of {self.NAME}")
            if self.is_running:
                return
        state = f"does not serve after {WITHIN:.0f} s" if self.is_running else "ended at its start"
        raise ServerFailed(f"{self.NAME} {state}; its log:\n{self._said(started)}")

    def _said(self, since: int = 0) -> str:
        """Return the end of its log, without the bytes before `since`."""
        return self.log.read_bytes()[since:].decode(errors="replace")[-TAIL:]

    def _signal(self, number: signal.Signals) -> None:
        if not self.is_running:
            return
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)
        wait_for(lambda: not self.is_running, f"the end of {self.NAME}")

    def _hold(self) -> int | None:
        """Take the lock that keeps the server running; return None if it is ending."""
        descriptor = os.open(self.folder / "lock", os.O_RDONLY)
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            return None
        return descriptor

    def _state(self) -> dict[str, Any]:
        return {"folder": str(self.folder), "secret": self.secret, "ports": self.ports, "pid": self.pid}

    @classmethod
    def _attach(cls, state: Mapping[str, Any], log: Path) -> Self | None:
        """Return the server that another process started; None if it is ending or has ended."""
        server = cls.__new__(cls)
        server.user, server.log, server._keepers = unprivileged_user(), log, []
        server.folder, server.secret = Path(state["folder"]), state["secret"]
        server.ports, server.pid, server._is_shared = state["ports"], state["pid"], True
        try:
            server._lock = server._hold()
        except FileNotFoundError:
            return None
        return None if server._lock is None else server


Server = TypeVar("Server", bound=PrivateServer)
_SHARED: dict[type[PrivateServer], PrivateServer] = {}


def shared(kind: type[Server], run_folder: Path) -> Server:
    """Return the server that all processes of a test run share; start it if there is none.

    It serves until the last process that asked for it has ended.
    """
    if kind not in _SHARED:
        _SHARED[kind] = _joined(kind, run_folder)
    found = _SHARED[kind]
    assert isinstance(found, kind)
    return found


def _joined(kind: type[Server], run_folder: Path) -> Server:
    state, log = run_folder / f"{kind.NAME}.json", run_folder / f"{kind.NAME}.log"
    with open(run_folder / f"{kind.NAME}.lock", "w") as door:
        fcntl.flock(door, fcntl.LOCK_EX)
        if state.exists() and (found := kind._attach(json.loads(state.read_text()), log)) is not None:
            return found
        server = kind(log=log)
        server.start()
        state.write_text(json.dumps(server._state()))
        return server


@cache
def unprivileged_user() -> tuple[int, int] | None:
    """Return the numbers of a user and a group for servers; None where the tests are unprivileged themselves."""
    if os.geteuid():
        return None
    found = pwd.getpwnam(USER)
    return found.pw_uid, found.pw_gid


def free_ports(count: int) -> list[int]:
    """Return ports of the loopback interface on which nobody listens."""
    ports: list[int] = []
    chance = random.SystemRandom()
    while len(ports) < count:
        port = chance.choice(PORTS)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            if port not in ports:
                ports.append(port)
    return ports


def _new_folder(user: tuple[int, int] | None, *, in_memory: bool) -> Path:
    # Short paths, because those of sockets have at most 107 bytes; pytest's own folders are closed to other users.
    parents = (memory_folder() if in_memory else None, Path(tempfile.gettempdir()), Path("/tmp"))  # noqa: S108
    for parent in filter(None, parents):
        if user is None or _is_open(parent):
            folder = Path(tempfile.mkdtemp(prefix="opstore-server-", dir=parent))
            if user is not None:
                os.chown(folder, *user)
            return folder
    raise ServerFailed(f"no folder for temporary files is open to the user {USER}")


def _is_open(path: Path) -> bool:
    """Return whether every user can reach the path and run it."""
    return all(each.stat().st_mode & 0o001 for each in (path, *path.parents))
