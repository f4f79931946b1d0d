"""The local daemon: whether it runs, answers, and is of this version."""

import socket
import time
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from opstore_cli.doctor.machine import Machine, Result, ok, problem
from opstore_cli.local import daemon as local_daemon
from opstore_cli.local import proof
from opstore_cli.local.daemon import LocalDaemon
from opstore_daemon.protocol import errors
from opstore_daemon.protocol._version import __version__

STARTS_WITHIN = 5.0  # seconds
ANSWER_WITHIN = 5.0
LOOK_AGAIN = 0.1

Heard = Literal["ours", "stranger", "silent", "nobody"]


def daemon(machine: Machine) -> Result:
    """Where its home is held by a daemon, that one answers, and nobody else answers in its place."""
    running, heard, held = _look(machine.home)
    if running is not None and heard == "ours":
        return _of_a_version(running)
    if held:
        return _stuck(machine.home, running, heard)
    if running is not None and heard != "nobody":
        found = f"something else listens at {running.url}, where the last daemon did; no token was sent to it"
        return problem(found, "opstore restart: the daemon takes another port")
    if machine.settings is not None and machine.settings.url is None and not machine.settings.autostart:
        return problem("it does not run, and OPSTORE_NO_AUTOSTART forbids to start it", "opstore start")
    return ok("it does not run: the first command that needs it starts it")


def _of_a_version(running: LocalDaemon) -> Result:
    if running.version != __version__:
        return problem(f"at {running.url} runs opstore {running.version}, this is {__version__}", "opstore restart")
    return ok(f"opstore {running.version} runs at {running.url} (pid {running.pid})")


def _stuck(home: Path, running: LocalDaemon | None, heard: Heard) -> Result:
    log = home / local_daemon.LOG_FILE
    if running is None:
        found = f"a process holds {home / local_daemon.DAEMON_LOCK} and tells no address; {log} may say why"
        return problem(found, "end that process, then opstore start")
    if heard in ("ours", "stranger"):
        found = f"what answers at {running.url} does not know the token in {home}: one of them was exchanged"
    else:
        found = f"the daemon at {running.url} (pid {running.pid}) runs and does not answer; {log} may say why"
    return problem(found, f"kill {running.pid}, then opstore start")


def _look(home: Path) -> tuple[LocalDaemon | None, Heard, bool]:
    """The runtime file's daemon, who answers there, and whether one holds the home. One that starts is waited for."""
    deadline = time.monotonic() + STARTS_WITHIN
    while True:
        running = local_daemon.read_runtime_file(home)
        heard: Heard = "nobody" if running is None else _listen(running, home)
        held = local_daemon.is_locked(home)
        if heard == "ours" or not held or time.monotonic() > deadline:
            return running, heard, held
        time.sleep(LOOK_AGAIN)


def _listen(running: LocalDaemon, home: Path) -> Heard:
    host = urlsplit(running.url).hostname or ""
    try:
        token = local_daemon.read_secret(home)
        with socket.create_connection((host, running.port), timeout=ANSWER_WITHIN) as sock:
            return "ours" if proof.knows_token(sock, token) else "stranger"
    except TimeoutError:
        return "silent"
    except (ConnectionResetError, errors.InvalidSetting):
        return "stranger"
    except OSError:
        return "nobody"
