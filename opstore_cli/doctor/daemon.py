"""Checks of the local daemon: whether it runs, responds and has this version."""

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

START_TIMEOUT = 5.0  # seconds
PROOF_TIMEOUT = 5.0
POLL_INTERVAL = 0.1

Responder = Literal["ours", "stranger", "silent", "nobody"]


def daemon(machine: Machine) -> Result:
    """Check that the daemon that holds the home responds, and that no other program uses its address."""
    running, responder, held = _look(machine.home)
    if running is not None and responder == "ours":
        return _check_version(running)
    if held:
        return _stuck(machine.home, running, responder)
    if running is not None and responder != "nobody":
        found = f"something else listens at {running.url}, where the last daemon did; no token was sent to it"
        return problem(found, "opstore restart: the daemon takes another port")
    if machine.settings is not None and machine.settings.url is None and not machine.settings.autostart:
        return problem("it does not run, and OPSTORE_NO_AUTOSTART forbids starting it", "opstore start")
    return ok("it does not run: the first command that needs it starts it")


def _check_version(running: LocalDaemon) -> Result:
    if running.version != __version__:
        return problem(
            f"opstore {running.version} runs at {running.url}, this is opstore {__version__}", "opstore restart"
        )
    return ok(f"opstore {running.version} runs at {running.url} (pid {running.pid})")


def _stuck(home: Path, running: LocalDaemon | None, responder: Responder) -> Result:
    log = home / local_daemon.LOG_FILE
    if running is None:
        found = f"a process holds {home / local_daemon.DAEMON_LOCK} and has published no address; {log} may say why"
        return problem(found, "end that process, then opstore start")
    if responder in ("ours", "stranger"):
        found = f"the server at {running.url} does not know the token in {home}; one of them was replaced"
    else:
        found = f"the daemon at {running.url} (pid {running.pid}) runs and does not respond; {log} may say why"
    return problem(found, f"kill {running.pid}, then opstore start")


def _look(home: Path) -> tuple[LocalDaemon | None, Responder, bool]:
    """Return the daemon in the runtime file, who responds at its URL, and whether a daemon holds the home.

    Waits for a daemon that is starting.
    """
    deadline = time.monotonic() + START_TIMEOUT
    while True:
        running = local_daemon.read_runtime_file(home)
        responder: Responder = "nobody" if running is None else _probe(running, home)
        held = local_daemon.is_locked(home)
        if responder == "ours" or not held or time.monotonic() > deadline:
            return running, responder, held
        time.sleep(POLL_INTERVAL)


def _probe(running: LocalDaemon, home: Path) -> Responder:
    host = urlsplit(running.url).hostname or ""
    try:
        token = local_daemon.read_secret(home)
        with socket.create_connection((host, running.port), timeout=PROOF_TIMEOUT) as sock:
            return "ours" if proof.knows_token(sock, token) else "stranger"
    except TimeoutError:
        return "silent"
    except (ConnectionResetError, errors.InvalidSetting):
        return "stranger"
    except OSError:
        return "nobody"
