"""Start the daemon's process in the background, and wait until it listens."""

import contextlib
import os
import select
import subprocess
import sys
import threading
import time
from pathlib import Path

import msgspec

from opstore_daemon.protocol import errors

START_TIMEOUT = 30.0  # seconds until the daemon reports that it listens, or why not
MAX_LINE = 64 * 1024  # bytes of its report
LOG_LINES = 5
LOG_BYTES = 8 * 1024

READY_FD = "OPSTORE_READY_FD"
# Settings of the client that the daemon does not need: a token for another daemon would stay in its memory for days.
WITHHELD = ("OPSTORE_TOKEN", "OPSTORE_TOKEN_FILE", "OPSTORE_URL", "OPSTORE_NO_AUTOSTART")


class _Ready(msgspec.Struct):
    """The line in which the daemon reports that it listens, or why it failed."""

    url: str | None = None
    pid: int | None = None
    error: str | None = None
    code: str = ""
    hint: str = ""


def launch(home: Path, log: Path) -> str:
    """Start the daemon of this home and return its URL when it listens.

    Raises DaemonDidNotStart, and the daemon's own error if that is a storage error, such as a full disk.

    The daemon outlives this process, and inherits no streams, terminal, session or working directory.
    """
    reading, writing = os.pipe()
    try:
        process = _spawn(home, writing)
    except OSError as error:
        os.close(reading)
        raise errors.DaemonDidNotStart(reason=errors.reason(error), log=str(log)) from None
    finally:
        os.close(writing)
    # Reap it if it ends before this process: a zombie would keep its pid.
    threading.Thread(target=process.wait, name="opstore-reaper", daemon=True).start()
    try:
        line = _read_line(reading)
    except TimeoutError:
        process.terminate()
        reason = f"it did not listen within {START_TIMEOUT:.0f} seconds"
        raise errors.DaemonDidNotStart(reason=reason, log=str(log)) from None
    finally:
        os.close(reading)
    return _url_in(line, log)


def _spawn(home: Path, ready: int) -> "subprocess.Popen[bytes]":
    environment = {key: value for key, value in os.environ.items() if key not in WITHHELD}
    # -P: import nothing from the folder that it starts in.
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "opstore_daemon", "serve", "--background"],
        cwd=home,
        env={**environment, "OPSTORE_HOME": str(home), READY_FD: str(ready)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        close_fds=True,
        pass_fds=[ready],
    )


def _read_line(reading: int) -> bytes:
    """Return what the daemon writes, up to the end of the line or of the pipe. Raises TimeoutError."""
    line, deadline = b"", time.monotonic() + START_TIMEOUT
    while not line.endswith(b"\n") and len(line) < MAX_LINE:
        poll = select.poll()  # select.select() takes no descriptor above 1023
        poll.register(reading, select.POLLIN)
        if not poll.poll(max(deadline - time.monotonic(), 0) * 1000):
            raise TimeoutError
        data = os.read(reading, MAX_LINE)
        if not data:
            break
        line += data
    return line


def _url_in(line: bytes, log: Path) -> str:
    ready = _Ready()
    with contextlib.suppress(msgspec.DecodeError):
        ready = msgspec.json.decode(line, type=_Ready)
    if ready.error is None and ready.url is not None:
        return ready.url
    cause = errors.from_wire(ready.code, 400, f"the local daemon did not start: {ready.error}", ready.hint)
    if ready.code and isinstance(cause, errors.Unavailable):
        raise cause
    reason = ready.error or _last_lines(log) or "it exited without a message"
    raise errors.DaemonDidNotStart(reason=reason, log=str(log))


def _last_lines(log: Path) -> str:
    try:
        with log.open("rb") as file:
            file.seek(max(file.seek(0, os.SEEK_END) - LOG_BYTES, 0))
            lines = file.read(LOG_BYTES).decode(errors="replace").splitlines()
    except OSError:
        return ""
    return "\n".join(line for line in lines[-LOG_LINES:] if line.strip())
