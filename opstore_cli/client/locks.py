"""The versions of a lock, as the store has them: with the bytes that the lock pins."""

from collections.abc import Callable, Sequence
from pathlib import Path

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.locks import check
from opstore_daemon.protocol.names import OpName
from opstore_daemon.protocol.records import Lock, LockedVersion, VersionRecord
from opstore_daemon.protocol.references import Reference
from opstore_daemon.protocol.versions import Version


def load(lock: Lock | Path | str) -> tuple[Lock, str | None]:
    """Return the lock, or that in the file at the path, and the pipeline that the file names. Raises FileRefused."""
    if isinstance(lock, Lock):
        return lock, None
    from opstore_cli import lockfile

    found = lockfile.read(Path(lock))
    return found.record(), found.pipeline


def references(lock: Lock) -> tuple[Reference, ...]:
    """Return the references that select the versions of the lock; raises InvalidName and InvalidSubversions."""
    # Parsed ones: their texts can't be read as anything else, even if the subversions look like a version number.
    return tuple(
        Reference(OpName.parse(each.op), Version.parse(each.subversions), bare=False) for each in lock.versions
    )


def records(lock: Lock, show: Callable[[Reference], VersionRecord]) -> list[VersionRecord]:
    """Return the record of each version of the lock, yanked or not; `show` gets one from the store.

    Raises LockConflict if the store has other bytes for one, InvalidRequest for a lock that is not whole, OpNotFound
    and VersionNotFound.
    """
    check(lock)
    found = list(map(show, references(lock)))
    for locked, record in zip(lock.versions, found, strict=True):
        if not _pins(locked, record):
            name, actual = f"{record.op}@{record.version}", (record.digest, record.size)
            raise errors.LockConflict.of(name, actual, (locked.digest, locked.size))
    return found


def is_kept(lock: Lock, versions: Sequence[VersionRecord]) -> bool:
    """Return whether each of the versions that is in the lock has the bytes that the lock pins."""
    locked = {(each.op, each.subversions): each for each in lock.versions}
    kept = [(locked.get((version.op, version.subversions)), version) for version in versions]
    return all(pinned is None or _pins(pinned, version) for pinned, version in kept)


def _pins(locked: LockedVersion, record: VersionRecord) -> bool:
    """Return whether the version has the digest and the size that the lock pins, if it pins any."""
    return locked.digest in (None, record.digest) and locked.size in (None, record.size)
