"""The check of the database itself, whichever it is, and of what the whole check will read."""

from collections.abc import Callable, Sequence

from sqlalchemy import Connection, Executable, func, select

from opstore_daemon.metadata.checks import Check, Damage
from opstore_daemon.metadata.tables import Version
from opstore_daemon.protocol import errors
from opstore_daemon.store.maintenance.background import read_in_background
from opstore_daemon.store.maintenance.pages import Page, Steps


def check_database(page: Page, _begin: str) -> Steps:
    """Run the checks of the database (BaseDatabase.checks), and count what the whole check will read."""
    database = page.database
    for check in (*database.checks(), Check("", _totals(page))):
        try:
            found = yield from read_in_background(database, check.read, page.is_cancelled)
        except errors.DatabaseFailed as error:
            page.check_client()
            if not database.is_damage(error):
                raise
            if check.what:  # else a check before this one has reported it
                name = "the database" if database.is_in_memory else database.name
                page.add("database", name, f"{check.what} can't be checked: {error.text}", database.advice)
            continue
        page.check_client()
        for damage in found:
            page.add(*damage, database.advice)
    return None


def _totals(page: Page) -> Callable[[Connection], Sequence[Damage]]:
    def work(connection: Connection) -> Sequence[Damage]:
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
