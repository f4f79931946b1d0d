"""A machine of its own for each test: an empty home, a data folder, a working folder, and the real program in it.

Where a machine is taken down, no daemon of it may be left.
"""

import fcntl
import json
import os
import pty
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

from opstore_cli import OpStoreClient
from opstore_cli.config import settings as config
from opstore_daemon.protocol import proof
from tests.support import forked

PROGRAM = [str(Path(sys.executable).with_name("opstore"))]
WITHIN = 60.0  # seconds, for what takes far less

MIB = 1024 * 1024
STARTED = "started the local daemon at URL; it stops when it is idle, or by: opstore stop\n"

Triple = tuple[int, str, str]
Process = forked.Process | subprocess.Popen[bytes]

# What differs from run to run, and what stands for it.
FILTERS = [
    (re.compile(pattern), word)
    for pattern, word in (
        (r"http://127\.0\.0\.1:\d+", "URL"),
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "TIME"),
        (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}", "TIME"),
        (r"\b\d+ s ago", "JUST NOW"),
        (r"sha256:[0-9a-f]{64}", "DIGEST"),
        (r"\b[0-9a-f]{64}\.[0-9a-f]{64}\.[0-9a-f]{64}\b", "VERSION"),
        (r'"pid":\d+', '"pid":"PID"'),
        (r"\bpid([\t ]+)\d+", r"pid\1PID"),
        (r"(with the reference |\"reference\": \")[0-9a-f]{12}", r"\1REFERENCE"),
    )
]


def wait_for(condition: Callable[[], object], what: str, seconds: float = WITHIN) -> None:
    """Asks until the condition holds; fails where it never does."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {seconds:.0f} s"
        time.sleep(0.005)


class Machine:
    """A user's machine, in a folder. Fork servers start its commands and daemons, unless it is `real`."""

    def __init__(self, folder: Path, *, real: bool = False) -> None:
        self.folder, self.real = folder, real
        self.user, self.home, self.cwd = folder / "user", folder / "data", folder / "work"
        for each in (self.user, self.cwd):
            each.mkdir(parents=True)
        # Nothing of the caller's settings: no OPSTORE_*, no proxies, no XDG folders.
        self.environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(self.user),
            "LC_ALL": "C.UTF-8",
            "OPSTORE_HOME": str(self.home),
            "PYTHONWARNINGS": "error",
        }

    # --- the program ------------------------------------------------------------------------------------------------

    def begin(
        self,
        *words: str | bytes | Path,
        program: Sequence[str] = PROGRAM,
        env: dict[str, str] | None = None,
        **options: Any,
    ) -> Process:
        """Start the program, with `env` on top of the environment; the options are those of `subprocess.Popen`."""
        arguments = [os.fsdecode(word) for word in (*program, *words)]
        environment = {**self.environment, **(env or {})}
        given: dict[str, Any] = {"cwd": self.cwd, "stdin": subprocess.DEVNULL}
        given |= {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        if self._is_forked(arguments, environment, given):
            return forked.fork_server(self.environment).start(arguments, env=environment, **given)
        return subprocess.Popen(arguments, env=environment, **given)

    def _is_forked(self, arguments: list[str], environment: dict[str, str], options: dict[str, Any]) -> bool:
        if self.real or not forked.AVAILABLE or options.keys() - forked.OPTIONS or arguments[:1] != PROGRAM:
            return False
        # `serve` becomes the daemon: the same process.
        return "serve" not in arguments[1:2] and forked.fork_server(self.environment).serves(environment)

    def raw(self, *words: str | bytes | Path, stdin: bytes | None = None, **options: Any) -> tuple[int, bytes, bytes]:
        """Runs the program to its end: exit code, stdout and stderr, as they came."""
        if stdin is not None:
            options["stdin"] = subprocess.PIPE
        with self.begin(*words, **options) as process:
            try:
                out, err = process.communicate(stdin, timeout=WITHIN)
            except BaseException:
                process.kill()
                raise
        return process.returncode, out or b"", err or b""

    def run(self, *words: str | bytes | Path, **options: Any) -> Triple:
        """Exit code, stdout and stderr, with words for what differs from run to run."""
        code, out, err = self.raw(*words, **options)
        return code, self.tidy(out.decode()), self.tidy(err.decode())

    def do(self, *words: str | bytes | Path, **options: Any) -> str:
        """What a command that has to succeed says on stdout, without the line's end."""
        code, out, err = self.raw(*words, **options)
        assert code == 0, (words, code, err)
        return out.decode().rstrip("\n")

    def ask(self, *words: str | bytes | Path, **options: Any) -> tuple[int, Any, Any]:
        """With --json: exit code, the document on stdout and the error on stderr, each None where there is none.

        Notes on stderr are left out.
        """
        code, out, err = self.run(*words, "--json", **options)
        said = [json.loads(line) for line in err.splitlines()]
        failures = [line["error"] for line in said if "error" in line]
        assert len(failures) <= 1, failures
        return code, json.loads(out) if out else None, failures[0] if failures else None

    def tidy(self, text: str) -> str:
        text = text.replace(str(self.folder), "/machine")
        for pattern, word in FILTERS:
            text = pattern.sub(word, text)
        return text

    def on_a_terminal(self, *words: str, columns: int = 120, env: dict[str, str] | None = None) -> tuple[int, str]:
        """Runs the program on a terminal of its own: exit code, and all that it shows there."""
        controller, terminal = pty.openpty()
        fcntl.ioctl(terminal, 0x5414 if sys.platform == "linux" else 0x80087467, _window(columns))  # TIOCSWINSZ
        environment = {"TERM": "xterm-256color", **(env or {})}
        try:
            process = self.begin(
                *words, env=environment, stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True
            )
        finally:
            os.close(terminal)
        shown = b""
        try:
            while select.select([controller], [], [], WITHIN)[0]:
                data = os.read(controller, 65536)
                if not data:
                    break
                shown += data
        except OSError:  # Linux: nobody holds the other end any more
            pass
        finally:
            os.close(controller)
        code = process.wait(WITHIN)
        return code, self.tidy(shown.decode().replace("\r\n", "\n"))

    # --- its files --------------------------------------------------------------------------------------------------

    def file(self, name: str, content: bytes | str) -> Path:
        """A file in the working folder."""
        path = self.cwd / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def listing(self) -> list[str]:
        """All that is in the working folder, hidden files too."""
        return sorted(os.listdir(self.cwd))

    # --- its daemon -------------------------------------------------------------------------------------------------

    @property
    def runtime_file(self) -> Path:
        return self.home / "daemon.json"

    def runtime(self) -> dict[str, Any]:
        """What the runtime file says."""
        said: dict[str, Any] = json.loads(self.runtime_file.read_text())
        return said

    @property
    def url(self) -> str:
        return str(self.runtime()["url"])

    @property
    def pid(self) -> int:
        return int(self.runtime()["pid"])

    @property
    def token(self) -> str:
        return (self.home / "token").read_text().strip()

    def log(self) -> str:
        """The daemon's log."""
        path = self.home / "daemon.log"
        return path.read_text() if path.exists() else ""

    def starts(self) -> int:
        """How many daemons listened so far."""
        return self.log().count(" listens at ")

    def is_held(self) -> bool:
        """Whether a daemon holds the home."""
        try:
            lock = os.open(self.home / "daemon.lock", os.O_RDWR)
        except OSError:
            return False
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
        finally:
            os.close(lock)
        return False

    def kill(self) -> None:
        """Ends the daemon as a power cut would."""
        os.kill(self.pid, signal.SIGKILL)
        wait_for(lambda: not self.is_held(), "the end of the daemon")

    def take_down(self) -> None:
        """Stops the daemon, however a test has left it; fails where it does not stop."""
        for pid in self.daemons():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
                os.kill(pid, signal.SIGTERM)
        try:
            wait_for(lambda: not self.is_held() and not self.daemons(), "the stop of the daemon")
        finally:
            for pid in self.daemons():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            shutil.rmtree(self.home / "blobs", ignore_errors=True)  # some are large

    def daemons(self) -> list[int]:
        """Return the ids of the processes that serve this home."""
        if not sys.platform.startswith("linux"):
            return [self.pid] if self.is_held() and self.runtime_file.exists() else []
        mine = f"OPSTORE_HOME={self.home}".encode()
        found = forked.daemons_of(self.home)
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                words = (process / "cmdline").read_bytes().split(b"\0")
                if b"opstore_daemon" in words and mine in (process / "environ").read_bytes().split(b"\0"):
                    found.append(int(process.name))
        return found

    @contextmanager
    def serving(self, *options: str, **more: Any) -> Iterator[Process]:
        """`opstore serve`, from the moment on that it listens."""
        process = self.begin("serve", *options, **{"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, **more})
        try:
            wait_for(lambda: self.runtime_file.exists() or process.poll() is not None, "a daemon that listens")
            assert process.poll() is None
            yield process
        finally:
            process.terminate()
            process.wait(WITHIN)

    def client(self, **options: Any) -> OpStoreClient:
        """The Python client, as the commands find the daemon."""
        return OpStoreClient(settings=config.load(None, self.environment, self.cwd), **options)


def _window(columns: int) -> bytes:
    return struct.pack("HHHH", 40, columns, 0, 0)


@contextmanager
def a_machine(folder: Path, *, real: bool = False) -> Iterator[Machine]:
    made = Machine(folder, real=real)
    try:
        yield made
    finally:
        made.take_down()


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """A machine on which nothing runs yet."""
    with a_machine(tmp_path / "machine") as made:
        yield made


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Machine]:
    """Another machine."""
    with a_machine(tmp_path / "other") as made:
        yield made


def stock(machine: Machine) -> None:
    """Three versions of pca, two of forest, links between them, and two pipelines."""
    machine.do("start")
    with machine.client() as client:
        client.push("pca", b"one", message="twelve components", labels={"run": "4711"})
        client.push("pca", b"three", bump="minor")
        client.push("pca", b"fifteen", bump="major")
        client.push("forest", b"a forest", valid_with=["pca@1.0.0"])
        client.push("forest", b"a larger forest", bump="major")
        client.register("tokenizer", fields={"major": {"language": "en"}})
        client.register_pipeline("churn", ["pca", "forest"])
        client.register_pipeline("text", ["tokenizer", "forest"])


@pytest.fixture(scope="module")
def stocked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine with a stocked store; tests that share it only read."""
    with a_machine(tmp_path_factory.mktemp("stocked") / "machine") as made:
        stock(made)
        yield made


# --- what stands on the other end of a line ---------------------------------------------------------------------------


class _Listening:
    """A listening socket of loopback whose connections each have a thread."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.connections = 0
        self._open: list[socket.socket] = []

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self.cut()

    def cut(self) -> None:
        """Ends all connections; what was not passed on is lost."""
        for each in self._open:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        self._open.clear()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                self.connections += 1
                self._open.append(connection)
                threading.Thread(target=self._handle, args=(connection,), daemon=True).start()

    def _handle(self, connection: socket.socket) -> None:
        raise NotImplementedError


def proof_for(head: bytes, port: int, tokens: Sequence[str]) -> bytes | None:
    """The answer to a request for a proof, of whoever listens on the port and knows these tokens."""
    nonce = re.search(rb"Opstore-Nonce: ([0-9a-f]+)", head)
    if nonce is None or not tokens:
        return None
    given = ", ".join(proof.prove(proof.key_of(each), nonce[1].decode(), f"127.0.0.1:{port}") for each in tokens)
    return f"HTTP/1.1 200 OK\r\nOpstore-Proof: {given}\r\nContent-Length: 0\r\n\r\n".encode()


class Stranger(_Listening):
    """A server of somebody else: keeps every byte that it gets, and answers all requests alike.

    It proves that it knows these tokens.
    """

    def __init__(
        self, status: str = "404 Not Found", headers: str = "", body: bytes = b"", tokens: Sequence[str] = ()
    ) -> None:
        super().__init__()
        self.received = b""
        self._tokens = tokens
        self._answer = (
            f"HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode()
            + body
        )

    def _handle(self, connection: socket.socket) -> None:
        pending = b""
        with suppress(OSError):
            while data := connection.recv(65536):
                self.received += data
                pending += data
                while b"\r\n\r\n" in pending:
                    head, _, pending = pending.partition(b"\r\n\r\n")
                    proof = proof_for(head, self.port, self._tokens)
                    connection.sendall(proof or self._answer)


class Wire(_Listening):
    """A line to a daemon that counts what it carries, and stops in the middle where it is told to. Connections that are
    made once it has stopped are carried: to look at what was stopped does not stop too. It proves that it knows the
    token, unless it only passes on what the daemon proves.
    """

    def __init__(self, machine: Machine, *, proves: bool = True) -> None:
        super().__init__()
        self._proves = proves
        self._machine = machine
        self.up = self.down = 0  # bytes that went to the daemon, and that came from it
        self.stop_up: int | None = None
        self.stop_down: int | None = None
        self.stopped = threading.Event()
        self._go_on = threading.Event()

    @property
    def settings(self) -> dict[str, str]:
        """The environment of whoever talks over this line."""
        return {"OPSTORE_URL": self.url, "OPSTORE_TOKEN": self._machine.token}

    def go_on(self) -> None:
        """Carries again, what was held first."""
        self.stop_up = self.stop_down = None
        self._go_on.set()

    def cut(self) -> None:
        super().cut()
        self._go_on.set()

    def count_again(self) -> None:
        """A new line: nothing was carried yet, and nothing stops it."""
        self.cut()
        self.up = self.down = 0
        self.stop_up = self.stop_down = None
        self.stopped.clear()
        self._go_on.clear()

    def _handle(self, connection: socket.socket) -> None:
        try:
            daemon = socket.create_connection(("127.0.0.1", self._machine.runtime()["port"]))
        except OSError:
            connection.close()  # nobody is there
            return
        self._open.append(daemon)
        stops = not self.stopped.is_set()
        threading.Thread(target=self._carry, args=(daemon, connection, "down", stops), daemon=True).start()
        self._carry(connection, daemon, "up", stops)

    def _carry(self, source: socket.socket, target: socket.socket, way: str, stops: bool) -> None:
        # The daemon answers to its own address only.
        ours, its = (f"Host: 127.0.0.1:{port}".encode() for port in (self.port, self._machine.runtime()["port"]))
        with suppress(OSError):
            while data := source.recv(65536):
                tokens = [self._machine.token] if self._proves and way == "up" else []
                if answer := proof_for(data[:65536].partition(b"\r\n\r\n")[0], self.port, tokens):
                    source.sendall(answer)
                    continue
                limit = getattr(self, f"stop_{way}")
                if stops and limit is not None and getattr(self, way) + len(data) > limit:
                    self.stopped.set()
                    self._go_on.wait(WITHIN)
                target.sendall(data.replace(ours, its) if way == "up" else data)
                setattr(self, way, getattr(self, way) + len(data))
        for each in (source, target):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()  # or who sends would wait for somebody to read it


@pytest.fixture
def strangers() -> Iterator[Callable[..., Stranger]]:
    """Makes servers that are no daemons."""
    with ExitStack() as stack:
        yield lambda *given, **options: stack.enter_context(Stranger(*given, **options))


@pytest.fixture
def wire(machine: Machine) -> Iterator[Wire]:
    """A line to the machine's daemon."""
    machine.do("start")
    with Wire(machine) as made:
        yield made


def unused_port() -> int:
    """A port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
    return port
