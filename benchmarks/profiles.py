"""Show where the time of a 1 GiB push goes: CPU time of each thread on both sides, and when each step ran.

Runs whole processes: a client that reports when it was up, had loaded, had sent and had its response, and the
threads as /proc lists them. Prints two tables.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from benchmarks.daemon import TICKS, Daemon, large
from benchmarks.measuring import MIB, change, show, touch_memory, warm, write_random

ALL = "all threads"

# The command, which reports its steps on standard error.
NOTED = """
import json, sys, time
began = float(sys.argv.pop(1))
steps = [("the interpreter is up", time.time() - began)]
from opstore_cli.transfer import upload
from opstore_cli.main import run
steps.append(("the command has loaded", time.time() - began))
def note(kind, name, what):
    method = getattr(kind, name)
    def noting(*arguments, **options):
        try:
            return method(*arguments, **options)
        finally:
            steps.append((what, time.time() - began))
    setattr(kind, name, noting)
note(upload.Uploader, "_start", "the upload is there")
note(upload.Uploader, "_append", "all is sent and taken")
note(upload.Uploader, "_create_version", "the store has made the version")
import atexit
atexit.register(lambda: print(json.dumps(steps), file=sys.stderr))
run()
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=1024, help="size of the file (default: 1024)")
    size = parser.parse_args().mib * MIB
    with tempfile.TemporaryDirectory(prefix="opstore-benchmark-", dir=Path.cwd()) as text:
        folder = Path(text)
        source = folder / "source"
        write_random(source, size)
        with Daemon(folder) as daemon:
            for _ in range(2):  # the first one pays for what is created once
                change(source)
                warm(source)
                touch_memory(folder, 2 * size + 256 * MIB)
                steps, used = _push(daemon, source)
    show(f"{large(size)}: when each step was done", ("", "s"), [(step, f"{at:.2f}") for step, at in steps])
    rows = [(side, thread, f"{user:.2f}", f"{system:.2f}") for (side, thread), (user, system) in sorted(used.items())]
    show(f"{large(size)}: seconds of the processor", ("side", "thread", "user", "system"), rows)


def _push(daemon: Daemon, source: Path) -> tuple[list[tuple[str, float]], dict[tuple[str, str], tuple[float, float]]]:
    """Push, and return the steps and what each thread used, sampled while it runs: an ended thread has no record."""
    seen: dict[tuple[str, int], tuple[str, float, float]] = {}
    before = {tid: used for tid, _, *used in _threads(daemon.pid)}
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", NOTED, repr(time.time()), "push", "big", str(source), "-q"],
        env=daemon.environ,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    done = threading.Event()

    def look() -> None:
        while not done.wait(0.005):
            for side, pid in (("client", process.pid), ("daemon", daemon.pid)):
                for tid, name, *used in _threads(pid):
                    old = before.get(tid, [0.0, 0.0]) if side == "daemon" else [0.0, 0.0]
                    seen[side, tid] = (name, used[0] - old[0], used[1] - old[1])

    looking = threading.Thread(target=look)
    looking.start()
    _, noted = process.communicate()
    done.set()
    looking.join()
    steps = [(str(step), float(at)) for step, at in json.loads(noted.decode().splitlines()[-1])]
    used = {("client", ALL): (0.0, 0.0), ("daemon", ALL): (0.0, 0.0)}
    for (side, tid), (name, user, system) in seen.items():
        if user + system:  # the system counts hundredths of a second: a short thread may have none
            pid = process.pid if side == "client" else daemon.pid
            for key in ((side, "main" if tid == pid else name), (side, ALL)):
                old = used.get(key, (0.0, 0.0))
                used[key] = (old[0] + user, old[1] + system)
    return steps, used


def _threads(pid: int) -> list[tuple[int, str, float, float]]:
    """Yield the id, name, and user and system CPU seconds of each thread of a process."""
    found = []
    try:
        for tid in os.listdir(f"/proc/{pid}/task"):
            text = Path(f"/proc/{pid}/task/{tid}/stat").read_text()
            fields = text.rpartition(")")[2].split()
            name = text[text.index("(") + 1 : text.rindex(")")]
            found.append((int(tid), name, int(fields[11]) / TICKS, int(fields[12]) / TICKS))
    except OSError:
        pass  # the thread has just ended
    return found


if __name__ == "__main__":
    main()
