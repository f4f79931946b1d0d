"""SQLite's own checks of a database, which read all of it."""

from collections.abc import Sequence

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from opstore_daemon.metadata.checks import MOST, Check, Damage
from opstore_daemon.metadata.sqlite.failures import is_damage


def checks(name: str) -> Sequence[Check]:
    """Return the checks of the database of this name."""

    def integrity(connection: Connection) -> Sequence[Damage]:
        # What this connection has in memory could hide what is on the disk.
        connection.exec_driver_sql("PRAGMA shrink_memory").close()
        lines: list[str] = []
        try:
            # One by one: after some rows SQLite may be unable to read on.
            for (row,) in connection.exec_driver_sql(f"PRAGMA integrity_check({MOST})"):
                lines += str(row).splitlines()
        except DBAPIError as error:
            if not is_damage(error.orig):
                raise
            lines.append(str(error.orig))
        return [Damage("database", name, line) for line in lines if line != "ok" and not line.startswith("*** in")]

    return [Check("its pages", integrity), Check("its references", _references)]


def _references(connection: Connection) -> Sequence[Damage]:
    rows = connection.exec_driver_sql("PRAGMA foreign_key_check").fetchmany(MOST)
    return [
        Damage("reference", f"{row[0]} {row[1]}", f"it refers to a row of {row[2]} that does not exist") for row in rows
    ]
