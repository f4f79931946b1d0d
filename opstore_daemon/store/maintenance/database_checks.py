"""The check of the database as a file: SQLite's own, which reads all of it."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Executable, func, select
from sqlalchemy.exc import DBAPIError

from opstore_daemon.metadata.sqlite.failures import DAMAGE
from opstore_daemon.metadata.tables import Version
from opstore_daemon.protocol import errors
from opstore_daemon.store.maintenance.background import read_in_background
from opstore_daemon.store.maintenance.pages import BACKUP, Page, Steps

MOST = 100  # problems of each kind that are reported


def check_database(page: Page, _begin: str) -> Steps:
    """Run SQLite's integrity_check and foreign_key_check, and count what the whole check will read."""
    for look in (_integrity, _references, _totals):
        try:
            found = yield from read_in_background(page.database, look(page), page.is_cancelled)
        except errors.DatabaseFailed as error:
            page.check_client()
            if not is_damage(error):
                raise
            if look is _references:  # the check before this one has reported it otherwise
                page.add("database", _name(page), f"its references can't be checked: {error.text}", BACKUP)
            continue
        page.check_client()
        for kind, what, observed in found:
            page.add(kind, what, observed, BACKUP)
    return None


def is_damage(error: errors.OpStoreError) -> bool:
    """Return whether it is SQLite's word for content that can't be right."""
    cause = error.__cause__
    return _is_damage(cause.orig if isinstance(cause, DBAPIError) else cause)


def _is_damage(failure: BaseException | None) -> bool:
    return (getattr(failure, "sqlite_errorcode", None) or 0) & 0xFF in DAMAGE


def _name(page: Page) -> str:
    return "the database" if page.database.path is None else str(page.database.path)


def _integrity(page: Page) -> Any:
    def work(connection: Connection) -> Sequence[tuple[str, str, str]]:
        # What this connection has in memory could hide what is on the disk.
        connection.exec_driver_sql("PRAGMA shrink_memory").close()
        lines: list[str] = []
        try:
            # One by one: after some rows SQLite may be unable to read on.
            for (row,) in connection.exec_driver_sql(f"PRAGMA integrity_check({MOST})"):
                lines += str(row).splitlines()
        except DBAPIError as error:
            if not _is_damage(error.orig):
                raise
            lines.append(str(error.orig))
        return [("database", _name(page), line) for line in lines if line != "ok" and not line.startswith("*** in")]

    return work


def _references(_page: Page) -> Any:
    def work(connection: Connection) -> Sequence[tuple[str, str, str]]:
        rows = connection.exec_driver_sql("PRAGMA foreign_key_check").fetchmany(MOST)
        return [
            ("reference", f"{row[0]} {row[1]}", f"it refers to a row of {row[2]} that does not exist") for row in rows
        ]

    return work


def _totals(page: Page) -> Any:
    def work(connection: Connection) -> Sequence[tuple[str, str, str]]:
        page.blobs_total = connection.execute(_count("", "t")).one()[0]
        first, end = page.options.bounds()
        page.bytes_total = int(connection.execute(_count(first, end)).one()[1] or 0) if page.options.reads else 0
        return []

    return work


def _count(first: str, end: str) -> Executable:
    digests = select(Version.digest, func.max(Version.size).label("size"))
    digests = digests.where(Version.digest >= first, Version.digest < end, Version.removed_position.is_(None))
    each = digests.group_by(Version.digest).subquery()
    return select(func.count(), func.sum(each.c.size)).select_from(each)
