"""Checks of the database in the home and of the SQLite library."""

import os
import re
import subprocess
import sys
from pathlib import Path

from opstore_cli.doctor.advice import advice_for_words
from opstore_cli.doctor.machine import Machine, Result, ok, problem, quoted
from opstore_cli.local.runtime import LocalDaemon
from opstore_daemon.protocol import restore_marker

TIMEOUT = 60.0  # seconds
WAL_BUG_FIXED = (3, 51, 3)  # sqlite.org/wal.html, "The WAL-reset bug"

# SQLite's words for a damaged file (sqlite.org/rescode.html: SQLITE_CORRUPT and SQLITE_NOTADB).
_DAMAGED = ("malformed", "not a database")

_CURRENT = re.compile(r"(\S+) \(this opstore needs (\S+?)(?:; opstore (\S+) or later reads it)?\)")


def sqlite(machine: Machine) -> Result | None:
    """Report the version of SQLite, unless the store is on a server."""
    import sqlite3

    if os.environ.get("OPSTORE_DB", "").startswith("postgres"):
        return None
    if isinstance(machine.local, LocalDaemon) and not os.path.lexists(machine.home / "opstore.db"):
        return None  # the daemon that runs has its database elsewhere (serve --db)
    if sqlite3.sqlite_version_info >= WAL_BUG_FIXED:
        return ok(f"SQLite {sqlite3.sqlite_version}")
    return ok(f"SQLite {sqlite3.sqlite_version} has the WAL-reset bug, which the daemon's way of writing avoids")


def schema(machine: Machine) -> Result | None:
    """Check that the database is there and can be read, and that this opstore knows its schema."""
    unfinished = restore_marker.read(machine.home)
    if unfinished is not None:
        error = unfinished.error(machine.home)
        return problem(error.text, error.advice)
    if os.environ.get("OPSTORE_DB"):
        return _named(machine)
    path = machine.home / "opstore.db"
    if not os.path.lexists(path):
        return _lost(machine, f"{path} does not exist")
    try:
        report, stderr = _read_schema(machine)
    except subprocess.TimeoutExpired:
        return problem(f"{path} was not read within {TIMEOUT:.0f} seconds", "look at the disk that it is on")
    if report is None:
        reason = _reason(stderr)
        return problem(f"{path} can't be read: {reason}", _advice(reason, path))
    lost = _lost(machine, f"{path} is empty") if report[1] == "none" else None
    return lost or _compare(str(path), *report.groups())


def _named(machine: Machine) -> Result:
    """Check the database that OPSTORE_DB names, whose URL may have a password."""
    name = "the database of OPSTORE_DB"
    try:
        report, stderr = _read_schema(machine)
    except subprocess.TimeoutExpired:
        return problem(f"{name} was not read within {TIMEOUT:.0f} seconds", "look at its server")
    if report is None:
        hints = [line.removeprefix("hint: ") for line in stderr.splitlines() if line.startswith("hint: ")]
        return problem(f"{name} can't be used: {_reason(stderr)}", (hints or ["correct OPSTORE_DB"])[0])
    return _compare(name, *report.groups(), upgrade="")


def _read_schema(machine: Machine) -> tuple[re.Match[str] | None, str]:
    """Run `opstore db current`; return its report, None if it failed, and its stderr. Raises TimeoutExpired."""
    ran = subprocess.run(
        [sys.executable, "-P", "-m", "opstore_daemon", "db", "current"],
        env={**os.environ, "OPSTORE_HOME": str(machine.home)},
        cwd=machine.home if machine.home.is_dir() else "/",
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",  # its streams may have another encoding (PYTHONIOENCODING)
        timeout=TIMEOUT,
        check=False,
    )
    return (_CURRENT.fullmatch(ran.stdout.strip()) if ran.returncode == 0 else None), ran.stderr


def _compare(name: str, current: str, needed: str, release: str | None, *, upgrade: str = ", after a backup") -> Result:
    """Compare the schema of a database with the one that this opstore needs. `upgrade`: how a daemon upgrades it."""
    if current == "none":
        return ok(f"{name} has no schema yet: a daemon creates it when it starts")
    if not current.isdecimal() or current > needed:
        unknown = f"{name} has the schema {current}, which this opstore ({needed}) does not know"
        return problem(unknown, f"install opstore {release} or later" if release else "update opstore")
    if current < needed:
        return ok(f"{name} has the schema {current}: it becomes {needed} when a daemon starts{upgrade}")
    return ok(f"{name} has the schema {current}")


def _lost(machine: Machine, found: str) -> Result | None:
    """Return a problem if the blobs in the home belong to a database: no daemon starts without it."""
    blobs = machine.home / "blobs"
    # A daemon that runs has another database (serve --db).
    if not os.path.lexists(blobs / "store-id") or machine.local is not None:
        return None
    advice = "put the database back, or set OPSTORE_HOME to another folder; see Recovery in the documentation"
    return problem(f"{found}, and {blobs} belongs to a database", advice)


def _advice(reason: str, path: Path) -> str:
    """Return what to do. Only a database that SQLite calls damaged is one: no other failure says that of its bytes."""
    if any(words in reason for words in _DAMAGED):
        copy = f"opstore stop, then copy {quoted(path.parent)} as it is, before anything else"
        return f"{copy}: the database belongs together with its -wal file, and a repair or a backup needs both kept"
    known = advice_for_words(reason, path)
    if known is not None:
        return known
    if "locked" in reason or "in use" in reason:
        return "opstore status names the daemon that uses it; run opstore doctor again when it is done"
    if "readonly" in reason or "unable to open" in reason:
        return f"ls -l {quoted(path)} shows who may use it: run opstore as its owner, or set OPSTORE_HOME"
    return "opstore serve shows more; fix that, and run opstore doctor again"


def _reason(stderr: str) -> str:
    reasons = [line.removeprefix("error: ") for line in stderr.splitlines() if line.startswith("error: ")]
    return (reasons or stderr.split("\n")[-2:-1] or ["it exited without a message"])[0]
