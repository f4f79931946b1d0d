"""A user's machine in a folder: a home, a data folder, a working folder, and the real program.

A machine that is taken down leaves no daemon behind.
"""

import fcntl
import json
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from opstore_cli import OpStoreClient
from opstore_cli.config.settings import load_settings
from tests.support import forked, here
from tests.support.waiting import WITHIN, wait_for

PROGRAM = [str(Path(sys.executable).with_name("opstore"))]

MIB = 1024 * 1024
STARTED = "started the local daemon at URL; it stops when idle, or with: opstore stop\n"

Triple = tuple[int, str, str]
Process = forked.Process | subprocess.Popen[bytes]

# Text that differs from run to run, and its replacement.
FILTERS = [
    (re.compile(pattern), word)
    for pattern, word in (
        # Off a terminal, a transfer that takes longer than five seconds reports its progress.
        (r"(?m)^(push|pull) .+: (\d+ done, )?[\d.]+ (of [\d.]+ )?[kMGT]?B\b.*\n", ""),
        (r"http://127\.0\.0\.1:\d+", "URL"),
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "TIME"),
        (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}", "TIME"),
        (r"\b\d+ s ago", "JUST NOW"),
        (r"sha256:[0-9a-f]{64}", "DIGEST"),
        (r"\b[0-9a-f]{64}\.[0-9a-f]{64}\.[0-9a-f]{64}\b", "VERSION"),
        (r'"pid":\d+', '"pid":"PID"'),
        (r"\bpid([\t ]+)\d+", r"pid\1PID"),
        (r'"database_size":\d+', '"database_size":"BYTES"'),
        (r"\bdatabase_size([\t ]+)\d+", r"database_size\1BYTES"),
        (r"(with the reference |\"reference\": \")[0-9a-f]{12}", r"\1REFERENCE"),
    )
]


class Machine:
    """A user's machine, in a folder. Fork servers start its commands and daemons, unless it is `real`.

    With `in_process`, commands run in the process of the tests if they can (`tests.support.here`): for tests of what
    they do, which takes a third of the time.
    """

    def __init__(self, folder: Path, *, real: bool = False, in_process: bool = False) -> None:
        self.folder, self.real, self.in_process, self._has_begun_programs = folder, real, in_process, False
        self.user, self.home, self.cwd = folder / "user", folder / "data", folder / "work"
        for each in (self.user, self.cwd):
            each.mkdir(parents=True)
        # None of the caller's settings: no OPSTORE_*, no proxies, no XDG folders.
        self.environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(self.user),
            "LC_ALL": "C.UTF-8",
            "OPSTORE_HOME": str(self.home),
            "OPSTORE_AUTHOR": "ana",  # the name of the host differs
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
        self._has_begun_programs = True
        return subprocess.Popen(arguments, env=environment, **given)

    def _is_forked(self, arguments: list[str], environment: dict[str, str], options: dict[str, Any]) -> bool:
        if self.real or not forked.AVAILABLE or options.keys() - forked.OPTIONS or arguments[:1] != PROGRAM:
            return False
        # `serve` becomes the daemon: the same process.
        return "serve" not in arguments[1:2] and forked.fork_server(self.environment).serves(environment)

    def raw(self, *words: str | bytes | Path, stdin: bytes | None = None, **options: Any) -> tuple[int, bytes, bytes]:
        """Run the program to its end; return exit code, stdout and stderr unchanged."""
        if self.in_process and not self.real and here.can_run(words, options if stdin is None else {"stdin": stdin}):
            return here.raw(self, *words)
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
        """Run the program; return exit code, stdout and stderr, with words for what differs from run to run."""
        code, out, err = self.raw(*words, **options)
        return code, self.tidy(out.decode()), self.tidy(err.decode())

    def do(self, *words: str | bytes | Path, **options: Any) -> str:
        """Run a command that has to succeed; return its stdout without the last newline.

        It prepares or looks up what a test needs, and runs in this process if it can.
        """
        run = partial(here.raw, self) if not self.real and here.can_run(words, options) else self.raw
        code, out, err = run(*words, **options)
        assert code == 0, (words, code, err)
        return out.decode().rstrip("\n")

    def ask(self, *words: str | bytes | Path, **options: Any) -> tuple[int, Any, Any]:
        """Run a command with --json; return exit code, the document on stdout and the error on stderr.

        Document and error are None if missing; notes on stderr are not returned.
        """
        return self.documents(*self.run(*words, "--json", **options))

    @staticmethod
    def documents(code: int, out: str, err: str) -> tuple[int, Any, Any]:
        """Return what `ask` returns, from what the command wrote."""
        said = [json.loads(line) for line in err.splitlines()]
        failures = [line["error"] for line in said if "error" in line]
        assert len(failures) <= 1, failures
        return code, json.loads(out) if out else None, failures[0] if failures else None

    def tidy(self, text: str) -> str:
        """Return the text with words for what differs from run to run, and without the progress of slow transfers."""
        text = text.replace(str(self.folder), "/machine")
        for pattern, word in FILTERS:
            text = pattern.sub(word, text)
        return text

    def on_a_terminal(
        self, *words: str, columns: int = 120, env: dict[str, str] | None = None, keys: bytes = b""
    ) -> tuple[int, str]:
        """Run the program on a terminal of its own; return exit code and all output.

        `keys` are typed at the first prompt.
        """
        controller, terminal = pty.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, _window(columns))
        environment = {"TERM": "xterm-256color", **(env or {})}
        options: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), terminal)
        if keys:
            options["preexec_fn"] = _claim_terminal
        try:
            process = self.begin(*words, env=environment, start_new_session=True, **options)
        finally:
            os.close(terminal)
        shown = b""
        try:
            while select.select([controller], [], [], WITHIN)[0]:
                data = os.read(controller, 65536)
                if not data:
                    break
                shown += data
                if keys and shown.endswith(b": "):
                    os.write(controller, keys)
                    keys = b""
        except OSError:  # how Linux reports that the other end is closed
            pass
        finally:
            os.close(controller)
        code = process.wait(WITHIN)
        return code, self.tidy(shown.decode().replace("\r\n", "\n"))

    # --- its files --------------------------------------------------------------------------------------------------

    def file(self, name: str, content: bytes | str) -> Path:
        """Write a file in the working folder; return its path."""
        path = self.cwd / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def listing(self) -> list[str]:
        """Return the names in the working folder, hidden files included."""
        return sorted(os.listdir(self.cwd))

    # --- its daemon -------------------------------------------------------------------------------------------------

    @property
    def runtime_file(self) -> Path:
        return self.home / "daemon.json"

    def runtime(self) -> dict[str, Any]:
        """Return the contents of the runtime file."""
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
        """Return the daemon's log."""
        path = self.home / "daemon.log"
        return path.read_text() if path.exists() else ""

    def starts(self) -> int:
        """Return how many daemons have listened so far."""
        return self.log().count(" listens at ")

    def is_held(self) -> bool:
        """Return whether a daemon holds the lock of the data folder."""
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
        """Kill the daemon, and wait until its lock is free."""
        os.kill(self.pid, signal.SIGKILL)
        wait_for(lambda: not self.is_held(), "the end of the daemon")

    def take_down(self) -> None:
        """Stop the daemon in whatever state the test left it; fail if it does not stop."""
        found = self._left()
        for pid in found:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
                os.kill(pid, signal.SIGTERM)
        try:
            if found or self.is_held():
                wait_for(lambda: not self.is_held() and not self._left(), "the stop of the daemon")
        except BaseException:
            for pid in self.daemons():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            raise
        finally:
            shutil.rmtree(self.home / "blobs", ignore_errors=True)  # some are large

    def _left(self) -> list[int]:
        """Return the ids of the daemons; look at every process of the system only if one may not be forked."""
        children = forked.daemons_of(self.home)
        return children if not self._has_begun_programs and (children or not self.is_held()) else self.daemons()

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
        """Run `opstore serve` for the block, which begins when it listens."""
        process = self.begin("serve", *options, **{"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, **more})
        try:
            wait_for(lambda: self.runtime_file.exists() or process.poll() is not None, "a daemon that listens")
            assert process.poll() is None
            yield process
        finally:
            process.terminate()
            process.wait(WITHIN)

    def client(self, **options: Any) -> OpStoreClient:
        """Return a Python client that finds the daemon as the commands do."""
        return OpStoreClient(settings=load_settings(None, self.environment, self.cwd), **options)


def _claim_terminal() -> None:
    """Make the terminal the controlling one of this process, so that its keys send signals."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _window(columns: int) -> bytes:
    return struct.pack("HHHH", 40, columns, 0, 0)


@contextmanager
def a_machine(folder: Path, *, real: bool = False, in_process: bool = False) -> Iterator[Machine]:
    made = Machine(folder, real=real, in_process=in_process)
    try:
        yield made
    finally:
        made.take_down()


def stock(machine: Machine) -> None:
    """Push three versions of pca, two of forest and links between them, and register two pipelines."""
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
