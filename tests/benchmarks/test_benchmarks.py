"""Each benchmark runs on a small input and prints its tables."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

BENCHMARKS = {
    "transfer": (["--mib", "2", "--rounds", "1"], ["one pass", "cp and fsync", "push, warm client", "pull, cold"]),
    "profiles": (["--mib", "32"], ["all is sent and taken", "all is sent and taken", "client", "daemon"]),
    "small": (
        ["--count", "3", "--rounds", "1"],
        ["fsync of a folder", "empty request", "pull to a file", "opstore push"],
    ),
    "concurrency": (
        ["--seconds", "0.2", "--rounds", "1", "--clients", "2"],
        ["pushes a second", "requests a second", "times one client", "pushes a commit"],
    ),
    "memory": (["--mib", "16", "--files", "20", "--each", "1"], ["16 MiB: peaks", "in 20 files", "8 clients at once"]),
    "killed": (["--mib", "128"], ["MiB moved again", "client", "daemon"]),
    "page": (["--few", "4", "--many", "40", "--rounds", "1"], ["time to the first byte", "matrix", "op as it was"]),
    "startup": (["--rounds", "1"], ["opstore --version", "a completion of an op", "opstore versions NAME"]),
    "hostile": (
        ["--connections", "20", "--kib", "64", "--seconds", "0.2", "--only", "blank", "two pulls", "64 open", "long"],
        ["20 connections", "blank lines, no token", "two pulls in one piece", "64 open files", "long paths"],
    ),
    "validity": (["--db", "postgres", "--versions", "40", "--rounds", "4"], ["verdict of an edge", "resolution of 20"]),
    "fleet": (
        ["--seconds", "0.3", "--rounds", "1", "--clients", "2", "--mib", "10"],
        ["onto ops of their own", "onto one op", "PostgreSQL, S3, 3 daemons", "processor s of the daemons"],
    ),
    "counters": (
        ["--seconds", "1", "--rounds", "1", "--clients", "2"],
        ["no time between statements", "one counter, first", "a counter for each op, first", "2 clients"],
    ),
    "scale": (
        ["--versions", "3000", "--pushes", "3"],
        ["SQLite, 3,000 versions", "PostgreSQL: the largest indexes", "the log of a push"],
    ),
    "direct": (["--mib", "17", "--rounds", "1"], ["push of", "pull of", "17 MiB", "past it: CPU s"]),
    "database_time": (
        ["--pushes", "6", "--clients", "2"],
        ["6 pushes", "ms of the processor a push", "INSERT INTO journal"],
    ),
    "migration": (["--versions", "40", "--checksum"], ["migrate of 40 versions", "there", "back", "CPU ms a version"]),
    "peers": (["--mib", "2", "--rounds", "1", "--small", "1"], ["opstore's command push", "cp and fsync"]),
}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="they look into /proc")
@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.slow) for name in BENCHMARKS])
def test_a_benchmark_prints_its_tables(name: str, tmp_path: Path) -> None:
    options, rows = BENCHMARKS[name]
    environ = {**os.environ, "COLUMNS": "140", "PYTHONPATH": str(ROOT)}
    # In an empty folder: so no peer is there, whatever build/ has.
    command = [sys.executable, "-m", f"benchmarks.{name}", *options]
    ran = subprocess.run(command, env=environ, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    for row in rows:
        assert row in ran.stdout
    assert list(tmp_path.iterdir()) == []


def test_make_runs_each_benchmark_and_its_readme_mentions_it() -> None:
    making, told = (ROOT / "Makefile").read_text(), (ROOT / "benchmarks/README.md").read_text()
    shared = {"__init__", "daemon", "empty", "filled", "measuring", "rows", "shaped"}
    for path in (ROOT / "benchmarks").glob("*.py"):
        if path.stem not in shared:
            assert path.stem in making
            assert f"`{path.stem}`" in told
