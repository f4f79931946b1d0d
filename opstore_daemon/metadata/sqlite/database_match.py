"""Compare a database file with its lock file and with the WAL beside it, before SQLite opens them.

SQLite knows a WAL by its name only: it adds the commits of a WAL to whatever database lies beside it, and deletes the
WAL afterwards. If a backup or the database of another store was put beside the WAL of a killed daemon, the result is a
mixture, and the commits in the WAL are lost. Reading with `mode=ro` neither copies nor deletes a WAL.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

# What SQLite reports for content that can't be right; everything else is a failure of the system.
_DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def what_is_wrong(database: Path, store_id: str | None, position: int, *, has_wal: bool) -> str | None:
    """Return in words why the database is not the one that its lock file describes.

    None if nothing speaks against it, or if it can't be read. `store_id` is that of the store whose lock file it is,
    None if it is not known; `position` is the one that the database file has reached. Reads the whole database if there
    is a WAL.
    """
    found_id, found_position = _read_alone(database)
    if found_id is None or store_id is None or found_id == store_id:
        if found_position is not None and found_position < position:
            return (
                f"it is an older copy: it ends at position {found_position} of the journal, and had reached {position}"
            )
    elif has_wal:
        return f"it is of the store {found_id}, beside a WAL of the store {store_id}"
    return _what_does_not_match(database) if has_wal else None


def _what_does_not_match(database: Path) -> str | None:
    try:
        with closing(_connect(database, "mode=ro")) as connection:
            (result,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
            if result == "ok" and (hole := _hole_in_journal(connection)):
                result = hole
    except sqlite3.Error as error:
        if (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF not in _DAMAGE:
            return None
        result = str(error)
    result = str(result).splitlines()[-1]  # the lines before name the database
    return None if result == "ok" else f"it does not match the WAL beside it: {result}"


def _hole_in_journal(connection: sqlite3.Connection) -> str | None:
    """Return in words that entries of the journal are missing, which has one at each position; None if none is."""
    position = position_of(connection)
    if position is None:
        return None
    (entries,) = connection.execute(
        "SELECT count(*) FROM journal WHERE position BETWEEN 1 AND ?", (position,)
    ).fetchone()
    return None if entries == position else f"its journal has {entries} of {position} entries"


def position_of(connection: sqlite3.Connection) -> int | None:
    """Return the position of the last commit that the connection sees; None in a database without a schema."""
    position = _value(connection, "SELECT position FROM counter")
    return None if position is None else int(position)


def _read_alone(database: Path) -> tuple[str | None, int | None]:
    """Return the store id and the position in the database file without its WAL; None for what can't be read there."""
    try:
        with closing(_connect(database, "immutable=1")) as connection:
            store_id = _value(connection, "SELECT id FROM store")
            return None if store_id is None else str(store_id), position_of(connection)
    except sqlite3.Error:
        return None, None


def _value(connection: sqlite3.Connection, query: str) -> Any:
    """Return the value in the one row of a table; None if there is no such row or table."""
    try:
        (found,) = connection.execute(query).fetchone()
    except (sqlite3.Error, TypeError):
        return None
    return found


def _connect(database: Path, options: str) -> sqlite3.Connection:
    return sqlite3.connect(f"{database.as_uri()}?{options}", uri=True)


@contextmanager
def keeping_wal(database: Path | None) -> Iterator[None]:
    """Have SQLite leave the WAL as it is when the connections of the context are closed."""
    # Beside an empty database SQLite deletes a WAL even where it only reads.
    if database is None or not (_has_bytes(database) and _has_bytes(database.with_name(f"{database.name}-wal"))):
        yield
        return
    with ExitStack() as stack:
        with suppress(sqlite3.Error):
            # The last connection to be closed, which can't copy the WAL.
            guard = stack.enter_context(closing(_connect(database, "mode=ro")))
            guard.execute("PRAGMA schema_version").fetchone()
        yield


def _has_bytes(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except OSError:
        return False
