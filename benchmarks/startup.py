"""How long whole processes take: commands, and `opstore serve` until it is ready, with their goals.

A command is compared with a Python that imports requests and click, the daemon with one that imports flask, sqlalchemy
and waitress; all run interleaved. The wall clock includes what else the machine does, so the table has the CPU time
(user and system) too. tests/e2e/console/test_startup.py checks what is imported.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

YARDSTICK = "python -c 'import requests, click'"
DAEMON_YARDSTICK = "python -c 'import flask, sqlalchemy, waitress'"
SERVE = "opstore serve, until ready"
# Times the yardstick.
GOALS = {"opstore --version": 1.0, "a completion": 1.2, "opstore versions NAME": 1.5, SERVE: 1.3}


def seconds_of(command: list[str], environ: dict[str, str]) -> tuple[float, float]:
    """Run the command; return its wall and CPU time."""
    began = time.perf_counter()
    process = subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    took = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, command
    return took, used.ru_utime + used.ru_stime


def seconds_until_ready(opstore: str, environ: dict[str, str]) -> tuple[float, float]:
    """Start a daemon in a home of its own, and kill it when it is ready; return its wall and CPU time."""
    out, into = os.pipe()
    with tempfile.TemporaryDirectory(prefix="opstore-benchmark-") as home:
        ready = {**environ, "OPSTORE_HOME": home, "OPSTORE_READY_FD": str(into)}
        began = time.perf_counter()
        process = subprocess.Popen([opstore, "serve"], env=ready, pass_fds=[into], stderr=subprocess.DEVNULL)
        os.close(into)
        with os.fdopen(out) as pipe:
            assert "url" in json.loads(pipe.read())
        took = time.perf_counter() - began
        process.kill()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    return took, used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30, help="rounds (default: 30)")
    rounds = parser.parse_args().rounds
    opstore = shutil.which("opstore", path=str(Path(sys.executable).parent)) or "opstore"
    with tempfile.TemporaryDirectory(prefix="opstore-benchmark-") as folder:
        # Without variables such as PYTHONDONTWRITEBYTECODE, which would make every process compile changed modules.
        environ = {key: value for key, value in os.environ.items() if not key.startswith(("OPSTORE_", "PYTHON"))}
        environ["OPSTORE_HOME"] = folder
        op = Path(folder) / "op"
        op.write_bytes(b"bytes")
        subprocess.run([opstore, "push", "pca", str(op)], env=environ, check=True, capture_output=True)
        shell = {"_OPSTORE_COMPLETE": "bash_complete", "COMP_WORDBREAKS": "@:"}
        commands: dict[str, tuple[list[str], dict[str, str]]] = {
            "python -c pass": ([sys.executable, "-c", "pass"], {}),
            YARDSTICK: ([sys.executable, "-c", "import requests, click"], {}),
            "opstore --version": ([opstore, "--version"], {}),
            "a completion": ([opstore], {**shell, "COMP_LINE": "opstore ver"}),
            "a completion of an op": ([opstore], {**shell, "COMP_LINE": "opstore versions pc"}),
            "opstore versions NAME": ([opstore, "versions", "pca"], {}),
            DAEMON_YARDSTICK: ([sys.executable, "-c", "import flask, sqlalchemy, waitress"], {}),
        }
        seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in (*commands, SERVE)}
        try:
            for _ in range(rounds):
                for name, (command, more) in commands.items():
                    seconds[name].append(seconds_of(command, environ | more))
                seconds[SERVE].append(seconds_until_ready(opstore, environ))
        finally:
            subprocess.run([opstore, "stop"], env=environ, check=True, capture_output=True)
    medians = {name: [statistics.median(each) for each in zip(*times, strict=True)] for name, times in seconds.items()}
    table = Table(title=f"whole processes, medians of {rounds} rounds")
    for column in ("", "ms", "CPU ms", "times the yardstick", "by CPU time", "goal"):
        table.add_column(column, justify="right")
    for name, both in medians.items():
        yardstick = medians[DAEMON_YARDSTICK if name in (DAEMON_YARDSTICK, SERVE) else YARDSTICK]
        times = [f"{one / whole:.2f}" for one, whole in zip(both, yardstick, strict=True)]
        goal = f"{GOALS[name]:.1f}" if name in GOALS else ""
        table.add_row(name, *(f"{one * 1000:.0f}" for one in both), *times, goal)
    Console().print(table)


if __name__ == "__main__":
    main()
