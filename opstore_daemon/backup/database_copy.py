"""The copy of a database: made while others write, complete, and read without a trace.

The source is opened read-only: closing such a connection neither copies the WAL into the database nor deletes it, and a
daemon keeps its own. One reading transaction spans the copy, so that it is one state, however many commits arrive.
The copy is opened as immutable: SQLite then needs no lock and creates no file beside it.
"""

import os
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from opstore_daemon.metadata.identity import later_release
from opstore_daemon.metadata.migrate import known_revisions, schema_too_new
from opstore_daemon.metadata.sqlite import failures
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.backup_lines import Problem
from opstore_daemon.protocol.digests import PREFIX
from opstore_daemon.system.lock_file import kept_unlocked

PAGES = 1024  # of one step: progress is reported, and Ctrl-C is noticed, between two
BUSY = 30.0  # seconds
NAMED = 3  # versions that a problem names
PREFIXES = [f"{number:02x}" for number in range(256)]  # of digests
_HEX = re.compile(r"[0-9a-f]{64}")
_NO_ROOM = {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY}
_DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


@dataclass(frozen=True, slots=True)
class Facts:
    """The facts of a store in its database."""

    store_id: str
    schema: str
    release: str | None
    position: int
    ops: int
    versions: int
    stored: int
    blobs: int
    blobs_size: int


@contextmanager
def snapshot(database: Path) -> Iterator[sqlite3.Connection]:
    """Open the database of a store, and read one state of it in the context. Raises sqlite3.Error."""
    with ExitStack() as stack:
        connection = stack.enter_context(closing(_connect(database, "mode=ro")))
        try:
            _begin(connection)
        except sqlite3.OperationalError as error:
            if (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF not in _NO_ROOM:
                raise
            connection = stack.enter_context(_opened_alone(database, error))
        yield connection


def _begin(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN")
    connection.execute("SELECT count(*) FROM sqlite_master").fetchone()  # which begins to read


@contextmanager
def _opened_alone(database: Path, error: sqlite3.OperationalError) -> Iterator[sqlite3.Connection]:
    """Open a database that nobody uses and that has no WAL; raise `error` if it is used or has one.

    To read a database with a WAL, SQLite creates a `-shm` file, for which a full or read-only disk has no room. Without
    a WAL everything is in the one file, and as long as no daemon can start, that does not change.
    """
    with kept_unlocked(database.with_name(f"{database.name}.lock")) as is_unused:
        if not is_unused or _has_bytes(database.with_name(f"{database.name}-wal")):
            raise error
        with closing(_connect(database, "immutable=1")) as connection:
            _begin(connection)
            yield connection


def _has_bytes(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except FileNotFoundError:
        return False


@contextmanager
def opened_copy(copy: Path) -> Iterator[sqlite3.Connection]:
    """Open a copy that nobody changes. Raises sqlite3.Error."""
    with closing(_connect(copy, "immutable=1")) as connection:
        yield connection


def _connect(database: Path, options: str) -> sqlite3.Connection:
    connection = sqlite3.connect(f"{database.as_uri()}?{options}", uri=True, isolation_level=None, timeout=BUSY)
    connection.execute("PRAGMA trusted_schema = OFF")
    return connection


@contextmanager
def translated(database: Path, *, written: Path | None = None) -> Iterator[None]:
    """Raise errors of opstore in place of those of SQLite: DatabaseDamaged for content that can't be right.

    `written`: the file that is written, if one is, whose disk may be full.
    """
    try:
        yield
    except sqlite3.Error as error:
        if (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF in _DAMAGE:
            raise errors.DatabaseDamaged(database=str(database), reason=str(error)) from error
        raise failures.to_opstore_error(error, written, errors.DatabaseFailed) from error


def copy(source: sqlite3.Connection, part: Path, progress: Callable[[int, int, int], None]) -> None:
    """Copy the state that the connection reads to the new file `part`. Raises sqlite3.Error and OSError."""
    # Without locks and without a journal, which the file system may not have: nobody sees the file before it is whole.
    with open(part, "xb", opener=lambda path, flags: os.open(path, flags, 0o600)):
        pass  # SQLite would create it for everybody to read
    with closing(_connect(part, "nolock=1")) as target:
        target.execute("PRAGMA journal_mode = OFF")
        target.execute("PRAGMA synchronous = OFF")
        source.backup(target, pages=PAGES, progress=progress)


def size_of(source: sqlite3.Connection) -> int:
    """Return the size of the database in bytes."""
    (pages,), (size,) = source.execute("PRAGMA page_count").fetchone(), source.execute("PRAGMA page_size").fetchone()
    return int(pages) * int(size)


def what_is_wrong(connection: sqlite3.Connection) -> str | None:
    """Return in words what is wrong with the content of a database; None if it is intact. Raises sqlite3.Error."""
    (result,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    if result != "ok":
        return str(result).splitlines()[-1]
    row = connection.execute("PRAGMA foreign_key_check").fetchone()
    if row is not None:
        return f"a row of the table {row[0]} refers to a row of {row[2]} that is missing"
    position, entries = connection.execute(
        "SELECT position, (SELECT count(*) FROM journal WHERE position BETWEEN 1 AND counter.position) FROM counter"
    ).fetchone()
    return None if entries == position else f"its journal has {entries} of {position} entries"


def facts(connection: sqlite3.Connection, database: Path) -> Facts:
    """Return what the database says about its store.

    Raises SchemaTooNew, DatabaseFailed for a schema without store ids, DatabaseDamaged if it is not that of a store,
    MigrationUnfinished, and sqlite3.Error.
    """
    _check_finished(connection)
    release = _release(connection)
    schema = _schema(connection, database, release)
    row = connection.execute("SELECT id FROM store").fetchone()
    position = connection.execute("SELECT position FROM counter").fetchone()
    if row is None or position is None:
        raise errors.DatabaseDamaged(database=str(database), reason="it has no store id, or no position")
    there = _not_removed(connection)
    (ops,) = connection.execute(f"SELECT count(*) FROM op WHERE {_op_not_removed(connection)}").fetchone()  # noqa: S608
    versions, stored = connection.execute(
        f"SELECT count(*), count(digest) FROM version WHERE {there}"  # noqa: S608
    ).fetchone()
    blobs, size = connection.execute(f"SELECT count(*), sum(size) FROM ({_blobs(connection)})").fetchone()  # noqa: S608
    return Facts(str(row[0]), schema, release, int(position[0]), ops, versions, stored, blobs, int(size or 0))


def _check_finished(connection: sqlite3.Connection) -> None:
    """Raise MigrationUnfinished if a migration fills the database (metadata.unfinished)."""
    if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'unfinished_migration'").fetchone() is None:
        return
    row = connection.execute("SELECT database, command FROM unfinished_migration WHERE is_whole").fetchone()
    if row is not None:
        raise errors.MigrationUnfinished(target=row[0], command=row[1])


def _release(connection: sqlite3.Connection) -> str | None:
    """Return the release that made or upgraded the schema; None if the database does not say so."""
    try:
        row = connection.execute("SELECT release FROM store").fetchone()
    except sqlite3.OperationalError:  # a schema before 0011
        return None
    return None if row is None or row[0] is None else str(row[0])


def _schema(connection: sqlite3.Connection, database: Path, release: str | None) -> str:
    tables = {str(name) for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if "alembic_version" not in tables:
        raise errors.DatabaseDamaged(database=str(database), reason="it is not the database of a store")
    row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    schema = str(row[0]) if row else "none"
    if schema not in known_revisions():
        raise schema_too_new(schema, later_release(release))
    missing = {"store", "counter", "journal", "op", "version"} - tables
    if missing == {"store"}:
        reason = f"its schema {schema} has no store id yet: opstore db upgrade gives it one"
        raise errors.DatabaseFailed(reason=f"{database} can't be backed up: {reason}")
    if missing:
        raise errors.DatabaseDamaged(database=str(database), reason=f"the table {min(missing)} is missing")
    return schema


def _not_removed(connection: sqlite3.Connection) -> str:
    """Return the condition for versions that were not removed. Schemas before 0011 know of no removal."""
    columns = {row[1] for row in connection.execute("PRAGMA table_info(version)")}
    return "removed_position IS NULL" if "removed_position" in columns else "1"


def _op_not_removed(connection: sqlite3.Connection) -> str:
    """Return the condition for ops that were not removed."""
    if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'removal'").fetchone() is None:
        return "1"
    return "id NOT IN (SELECT op_id FROM removal WHERE version_id IS NULL AND until IS NULL)"


def _blobs(connection: sqlite3.Connection) -> str:
    """Return the query for the referenced blobs, in the order of their digests."""
    where = f"digest IS NOT NULL AND {_not_removed(connection)}"
    return f"SELECT digest, max(size) AS size FROM version WHERE {where} GROUP BY digest ORDER BY digest"  # noqa: S608


def blobs(connection: sqlite3.Connection, database: Path) -> Iterator[tuple[str, list[tuple[str, int]]]]:
    """Yield, for all two first digits, the hex digits and the sizes of the referenced blobs that begin with them.

    Raises DatabaseDamaged for a digest that is not one, and sqlite3.Error.
    """
    rows = ((str(digest).removeprefix(PREFIX), int(size)) for digest, size in connection.execute(_blobs(connection)))
    groups = groupby(rows, key=lambda row: row[0][:2])
    group = next(groups, None)
    for prefix in PREFIXES:
        if group is None or group[0] != prefix:
            yield prefix, []
        else:
            yield prefix, [_checked(hex_digits, size, database) for hex_digits, size in group[1]]
            group = next(groups, None)
    if group is not None:
        _checked(group[0], 0, database)


def _checked(hex_digits: str, size: int, database: Path) -> tuple[str, int]:
    if _HEX.fullmatch(hex_digits) is None:
        raise errors.DatabaseDamaged(database=str(database), reason=f"it has a digest that is not one: {hex_digits!r}")
    return hex_digits, size


def problem(connection: sqlite3.Connection, hex_digits: str, words: str) -> Problem:
    """Return the problem of a blob, with the versions that have it."""
    digest, there = f"{PREFIX}{hex_digits}", _not_removed(connection)
    rows = connection.execute(
        f"SELECT op.name, major_number, minor_number, patch_number FROM version JOIN op ON op.id = op_id"  # noqa: S608
        f" WHERE digest = ? AND {there} ORDER BY op.name, sequence",
        (digest,),
    ).fetchall()
    names = tuple(f"{op}@{major}.{minor}.{patch}" for op, major, minor, patch in rows[:NAMED])
    return Problem(digest=digest, problem=words, versions=names, versions_count=len(rows))
