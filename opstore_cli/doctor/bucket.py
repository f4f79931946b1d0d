"""The check of an object store, which the daemon's program makes: the command line imports no library for it."""

import subprocess
import sys
from collections.abc import Iterator

import msgspec

from opstore_daemon.protocol.probe_lines import Probed

TIMEOUT = 600.0  # seconds


def probe(saver: str) -> Iterator[Probed]:
    """Yield what the object store at this URL does; nothing of a store in it is read or changed."""
    command = [sys.executable, "-P", "-m", "opstore_daemon", "probe", "--saver", saver]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        yield Probed("bucket", f"{saver} was not examined within {TIMEOUT:.0f} seconds", "look at the object store")
        return
    lines = done.stdout.splitlines()
    try:
        yield from [msgspec.json.decode(line, type=Probed) for line in lines]
    except msgspec.DecodeError:
        lines = []
    if not lines or done.returncode != 0:
        message = done.stderr.decode(errors="replace").strip().splitlines() or [f"exit code {done.returncode}"]
        yield Probed("bucket", f"it could not be examined: {message[-1]}", "opstore serve --saver shows more")
