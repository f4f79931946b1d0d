"""Translate the failures of the database into errors, with what the operating system says about its folder.

SQLite reports "disk I/O error" or "unable to open database file" for a full disk, a quota, a read-only file system and
a broken disk, and Python does not pass on the errno. So after such a failure, a few bytes are written beside the
database, and the system's own error is reported.
"""

import errno
import os
import resource
import sqlite3
import uuid
from contextlib import suppress
from pathlib import Path

from opstore_daemon.protocol import errors
from opstore_daemon.system import full_disk

PROBE = bytes(64 * 1024)  # SQLite extends its -shm file by 32 KiB

# What SQLite reports for content that can't be right; everything else is a failure of the system.
DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}

# Primary result codes (sqlite.org/rescode.html) that may be caused by an error of the system.
_OF_THE_SYSTEM = {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_FULL}
# A commit that failed with one of these was not written completely, so it did not happen.
_NOT_COMMITTED = {sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_FULL}


def to_opstore_error(
    failure: BaseException, database: Path | None, otherwise: type[errors.OpStoreError]
) -> errors.OpStoreError:
    """Return StorageFull if the disk of the database is full, else `otherwise`, with the reason in words.

    `failure` is an error of the driver, or an OSError.
    """
    if isinstance(failure, OSError):
        words = full_disk.reason(failure, None if database is None else database.parent)
        return (errors.StorageFull if full_disk.is_full(failure) else otherwise)(reason=words)
    code = getattr(failure, "sqlite_errorcode", None) or 0
    reason = str(failure)
    is_full = code & 0xFF == sqlite3.SQLITE_FULL or "disk is full" in reason
    refusal = None
    if database is not None and (is_full or code & 0xFF in _OF_THE_SYSTEM):
        refusal = probe(database)
        if refusal is not None:
            reason = f"{reason}: {full_disk.reason(refusal, database.parent)}"
    if code & 0xFF in DAMAGE:
        reason += ": leave its files as they are; see Recovery in the documentation"
    if is_full:
        return errors.StorageFull(reason=reason)
    if code & 0xFF == sqlite3.SQLITE_READONLY:
        return errors.DatabaseFailed(reason=reason)
    outcome_is_known = otherwise is not errors.OutcomeUnknown or code in _NOT_COMMITTED
    if outcome_is_known and refusal is not None and full_disk.is_full(refusal):
        return errors.StorageFull(reason=reason)
    return otherwise(reason=reason)


def is_damage(failure: BaseException | None) -> bool:
    """Return whether it is SQLite's word for content that can't be right."""
    return (getattr(failure, "sqlite_errorcode", None) or 0) & 0xFF in DAMAGE


def probe(database: Path) -> OSError | None:
    """Return the error of a write beside the database, None if the system accepts it. Nothing of it stays."""
    return _write(database) or _limit(database)


def _limit(database: Path) -> OSError | None:
    """Return EFBIG if the database or its log has reached the limit on the size of files of this process."""
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    for path in (database, database.with_name(f"{database.name}-wal")):
        with suppress(FileNotFoundError):
            if limit != resource.RLIM_INFINITY and path.stat().st_size + len(PROBE) > limit:
                return OSError(errno.EFBIG, os.strerror(errno.EFBIG))
    return None


def _write(database: Path) -> OSError | None:
    path = database.with_name(f".{database.name}-probe-{uuid.uuid4().hex}")
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        return error
    try:
        os.unlink(path)
        done = os.pwrite(descriptor, PROBE, 0)
        if done < len(PROBE):
            os.pwrite(descriptor, PROBE[done:], done)
    except OSError as error:
        return error
    finally:
        os.close(descriptor)
    return None
