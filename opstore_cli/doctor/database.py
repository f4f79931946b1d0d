"""Checks of the database in the home and of the SQLite library."""

import os
import re
import subprocess
import sys

from opstore_cli.doctor.machine import Machine, Result, ok, problem, quoted

TIMEOUT = 60.0  # seconds
WAL_BUG_FIXED = (3, 51, 3)  # sqlite.org/wal.html, "The WAL-reset bug"

_CURRENT = re.compile(r"(\S+) \(this opstore needs (\S+)\)")


def sqlite(_machine: Machine) -> Result:
    """Report the version of SQLite."""
    import sqlite3

    if sqlite3.sqlite_version_info >= WAL_BUG_FIXED:
        return ok(f"SQLite {sqlite3.sqlite_version}")
    return ok(f"SQLite {sqlite3.sqlite_version} has the WAL-reset bug, which the daemon's way of writing avoids")


def schema(machine: Machine) -> Result | None:
    """Check that the database can be read, and that this opstore knows its schema."""
    path = machine.home / "opstore.db"
    if not path.exists():
        return None
    restore = f"move {quoted(path)} away and put a backup in its place"
    try:
        ran = subprocess.run(
            [sys.executable, "-P", "-m", "opstore_daemon", "db", "current"],
            env={**os.environ, "OPSTORE_HOME": str(machine.home)},
            cwd=machine.home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return problem(f"{path} was not read within {TIMEOUT:.0f} seconds", "opstore restart")
    report = _CURRENT.fullmatch(ran.stdout.strip())
    if ran.returncode != 0 or report is None:
        return problem(f"{path} can't be read: {_reason(ran.stderr)}", restore)
    current, needed = report.groups()
    if current == "none":
        return ok(f"{path} has no schema yet: a daemon creates it when it starts")
    if not current.isdecimal() or current > needed:
        return problem(
            f"{path} has the schema {current}, which this opstore ({needed}) does not know", "update opstore"
        )
    if current < needed:
        return ok(f"{path} has the schema {current}: it becomes {needed} when a daemon starts, after a backup")
    return ok(f"{path} has the schema {current}")


def _reason(stderr: str) -> str:
    reasons = [line.removeprefix("error: ") for line in stderr.splitlines() if line.startswith("error: ")]
    return (reasons or stderr.split("\n")[-2:-1] or ["it exited without a message"])[0]
