"""Checks of the data folder: permissions, free space, and the locks and times of its file system."""

import os
import secrets
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path

from opstore_cli.doctor.advice import advice_for
from opstore_cli.doctor.machine import Machine, Result, ok, problem, quoted
from opstore_cli.files import private
from opstore_cli.files.locks import refusal, try_lock
from opstore_cli.local.runtime import TOKEN_FILE
from opstore_cli.output.cells import size_cell
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.home_trust import check_home, user_name

MIN_FREE = 1 << 30  # bytes
MAX_SKEW = 5.0  # seconds
MAX_NAMED = 3  # files of other users that are named


def folder(machine: Machine) -> Result:
    """Check that the data folder may be used, and is writable."""
    home = machine.home
    try:
        check_home(home)
    except errors.UntrustedHome as error:
        return problem(error.text, error.advice)
    if not os.path.lexists(home):
        above = _nearest(home)
        if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
            return problem(
                f"{home} does not exist and can't be created in {above}", "set OPSTORE_HOME to a folder that you own"
            )
        return ok(f"{home} is created when a daemon first starts")
    if not home.is_dir():
        return problem(f"{home} is not a folder", "move it away, or set OPSTORE_HOME to a folder that you own")
    if os.name == "posix" and home.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return problem(f"others can write to {home}", f"chmod go-w {quoted(home)}")
    try:
        with _probe(home):
            return ok(f"{home} can be written, and by no other user")
    except OSError as error:
        return problem(f"{home} can't be written: {errors.reason(error)}", advice_for(error, home))


def owners(machine: Machine) -> Result | None:
    """Check that all files in the data folder belong to its owner: root leaves others where opstore was run by sudo."""
    home = machine.home
    if os.name != "posix" or not _is_usable(home):
        return None
    owner = home.stat().st_uid
    # The check of the token file has its own advice.
    foreign = list(islice((path for path in _of_others(home, owner) if path != home / TOKEN_FILE), MAX_NAMED + 1))
    if not foreign:
        return ok(f"all files in {home} belong to {user_name(owner)}")
    names = ", ".join(str(path) for path in foreign[:MAX_NAMED]) + (" and others" if len(foreign) > MAX_NAMED else "")
    users = " and ".join(sorted({user_name(path.lstat().st_uid) for path in foreign}))
    found = f"{names}: these files of {users} may not be readable or replaceable by {user_name(owner)}, who owns {home}"
    return problem(found, f"as root, make {user_name(owner)} their owner (chown), and run opstore as that user only")


def _of_others(folder: Path, owner: int) -> Iterator[Path]:
    """Yield what is in the folder and below it, and belongs to another user."""
    with suppress(OSError):  # a folder that can't be read was yielded itself, or the daemon deleted it
        for path in sorted(folder.iterdir()):
            with suppress(FileNotFoundError):
                found = path.lstat()
                if found.st_uid != owner:
                    yield path
                if stat.S_ISDIR(found.st_mode):
                    yield from _of_others(path, owner)


def disk(machine: Machine, least: int = MIN_FREE) -> Result:
    """Check that at least `least` bytes are free on the disk of the data folder."""
    free = shutil.disk_usage(_nearest(machine.home)).free
    found = f"{size_cell(free).for_people()} are free on the disk of {machine.home}"
    if free < least:
        return problem(found, "free some space, or set OPSTORE_HOME to a folder on a larger disk")
    return ok(found)


def locks(machine: Machine) -> Result | None:
    """Check that file locks are exclusive, which they are not in some network folders."""
    if os.name != "posix" or not _is_writable(machine.home):
        return None
    with _probe(machine.home) as (path, descriptor):
        first = try_lock(descriptor)
        reason = errors.reason(refusal(descriptor)) if first == "unsupported" else "two holders have the same lock"
        other = os.open(path, os.O_RDWR)
        try:
            second = try_lock(other)
        finally:
            os.close(other)
    if (first, second) == ("acquired", "busy"):
        return ok("file locks work")
    return problem(
        f"file locks do not work in {machine.home}: {reason}", "set OPSTORE_HOME to a folder on a disk of this machine"
    )


def times(machine: Machine) -> Result | None:
    """Check that new files get the time of this machine's clock, and that no file is from the future."""
    if not _is_writable(machine.home):
        return None
    with _probe(machine.home) as (_, descriptor):
        ahead = os.fstat(descriptor).st_mtime - time.time()
    if abs(ahead) > MAX_SKEW:
        advice = "set the clocks of both machines (NTP)"
        return problem(f"files in {machine.home} get a time that is {ahead:+.0f} s off this machine's clock", advice)
    newest = max(machine.home.iterdir(), key=_modified, default=machine.home)
    if _modified(newest) - time.time() > MAX_SKEW:
        return problem(f"{newest} is from the future: the clock was set back", "set this machine's clock (NTP)")
    return ok("files get the time of this machine's clock")


@contextmanager
def _probe(home: Path) -> Iterator[tuple[Path, int]]:
    """Create a temporary file in the data folder, and yield its path and descriptor."""
    path = home / f".doctor-{secrets.token_hex(8)}"
    descriptor = private.create(path)
    try:
        yield path, descriptor
    finally:
        os.close(descriptor)
        path.unlink()


def _is_usable(home: Path) -> bool:
    try:
        check_home(home)
    except errors.OpStoreError:
        return False
    return home.is_dir()


def _is_writable(home: Path) -> bool:
    return _is_usable(home) and os.access(home, os.W_OK | os.X_OK)


def _modified(path: Path) -> float:
    try:
        return path.lstat().st_mtime
    except FileNotFoundError:
        return 0.0  # a running daemon deleted it


def _nearest(path: Path) -> Path:
    """Return the path itself, or its nearest parent that exists."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return path
