"""Whole processes: `opstore --version` and `opstore versions NAME` against `python -c pass`, interleaved.

Prints a table. The daemon runs throughout; what is measured is what a script waits for.
"""

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

ROUNDS = 30


def main() -> None:
    opstore = shutil.which("opstore", path=str(Path(sys.executable).parent)) or "opstore"
    with tempfile.TemporaryDirectory(prefix="opstore-benchmark-") as folder:
        environ = {key: value for key, value in os.environ.items() if not key.startswith("OPSTORE_")}
        environ["OPSTORE_HOME"] = folder
        op = Path(folder) / "op"
        op.write_bytes(b"bytes")
        subprocess.run([opstore, "push", "pca", str(op)], env=environ, check=True, capture_output=True)
        commands = {
            "python -c pass": [sys.executable, "-c", "pass"],
            "opstore --version": [opstore, "--version"],
            "opstore versions NAME": [opstore, "versions", "pca"],
        }
        seconds: dict[str, list[float]] = {name: [] for name in commands}
        try:
            for _ in range(ROUNDS):
                for name, command in commands.items():
                    began = time.perf_counter()
                    subprocess.run(command, env=environ, check=True, capture_output=True)
                    seconds[name].append(time.perf_counter() - began)
        finally:
            subprocess.run([opstore, "stop"], env=environ, check=True, capture_output=True)
    yardstick = statistics.median(seconds["python -c pass"])
    table = Table(title=f"whole processes, {ROUNDS} rounds")
    for column in ("", "median ms", "min ms", "times python -c pass"):
        table.add_column(column, justify="right")
    for name, times in seconds.items():
        median = statistics.median(times)
        table.add_row(name, f"{median * 1000:.0f}", f"{min(times) * 1000:.0f}", f"{median / yardstick:.1f}")
    Console().print(table)


if __name__ == "__main__":
    main()
