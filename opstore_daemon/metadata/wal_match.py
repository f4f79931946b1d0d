"""Whether a database file and the WAL beside it belong together, found out before SQLite combines them.

SQLite knows a WAL by its name only: it adds the commits of a WAL to whatever database lies beside it, and deletes the
WAL afterwards. If a backup or the database of another store was put beside the WAL of a killed daemon, the result is a
mixture, and the commits in the WAL are lost. Reading with `mode=ro` neither copies nor deletes a WAL.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

# What SQLite reports for content that can't be right; everything else is a failure of the system.
_DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def what_does_not_match(database: Path, store_id: str | None) -> str | None:
    """Return in words why the database is not that of its WAL; None if nothing speaks against it, or it can't be read.

    `store_id` is that of the store which wrote the WAL, None if it is not known. Reads the whole database.
    """
    found = _store_id(database)
    if found is not None and store_id is not None and found != store_id:
        return f"it is of the store {found}, beside a WAL of the store {store_id}"
    try:
        with closing(_connect(database, "mode=ro")) as connection:
            (result,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    except sqlite3.Error as error:
        if (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF not in _DAMAGE:
            return None
        result = str(error)
    result = str(result).splitlines()[-1]  # the lines before name the database
    return None if result == "ok" else f"it does not match the WAL beside it: {result}"


def _store_id(database: Path) -> str | None:
    """Return the store id in the database file alone; None if it can't be read there."""
    try:
        with closing(_connect(database, "immutable=1")) as connection:
            (found,) = connection.execute("SELECT id FROM store").fetchone()
    except (sqlite3.Error, TypeError):
        return None
    return str(found)


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
