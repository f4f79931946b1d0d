"""Whole processes: what a script or a shell waits for, against a Python that imports requests and click, interleaved.

Prints a table, each command with its goal; the daemon runs throughout. The clock counts what else the machine does, so
there is the processor's time too. tests/e2e/console/test_startup.py keeps what is imported.
"""

import argparse
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
GOALS = {"opstore --version": 1.0, "a completion": 1.2, "opstore versions NAME": 1.5}  # times the yardstick


def seconds_of(command: list[str], environ: dict[str, str]) -> tuple[float, float]:
    """By the clock, and of the processor."""
    began = time.perf_counter()
    process = subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    took = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, command
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
        }
        seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
        try:
            for _ in range(rounds):
                for name, (command, more) in commands.items():
                    seconds[name].append(seconds_of(command, environ | more))
        finally:
            subprocess.run([opstore, "stop"], env=environ, check=True, capture_output=True)
    medians = {name: [statistics.median(each) for each in zip(*times, strict=True)] for name, times in seconds.items()}
    table = Table(title=f"whole processes, medians of {rounds} rounds")
    for column in ("", "ms", "processor ms", "times the yardstick", "by the processor", "goal"):
        table.add_column(column, justify="right")
    for name, both in medians.items():
        times = [f"{one / whole:.2f}" for one, whole in zip(both, medians[YARDSTICK], strict=True)]
        goal = f"{GOALS[name]:.1f}" if name in GOALS else ""
        table.add_row(name, *(f"{one * 1000:.0f}" for one in both), *times, goal)
    Console().print(table)


if __name__ == "__main__":
    main()
