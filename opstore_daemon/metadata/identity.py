"""The one row of the table `store`: the id of the store, 32 lower-case hex digits, and the release of its schema."""

import re
import time
import uuid
from typing import Any

from sqlalchemy import Connection, select
from sqlalchemy.exc import DBAPIError

from opstore_daemon.metadata.tables import StoreIdentity
from opstore_daemon.protocol import errors
from opstore_daemon.protocol._version import __version__


def new_row(store_id: str | None) -> dict[str, Any]:
    """Return the row of a store with this id, or with a new one."""
    return {
        "one": 1,
        "id": store_id or uuid.uuid4().hex,
        "created_at": time.time_ns() // 1000,
        "release": __version__,
    }


def id_of(connection: Connection, database: str) -> str:
    """Return the id of the store; raise DatabaseDamaged, which names the database, if there is none."""
    found = connection.execute(select(StoreIdentity.id)).scalars().all()
    if len(found) != 1:
        raise errors.DatabaseDamaged(database=database, reason="it has no store id")
    return str(found[0])


# The form of our version numbers, and no more than a message can take: the database may be anybody's.
_RELEASE = re.compile(r"[0-9]{1,4}(\.[0-9]{1,4}){1,2}((a|b|rc)[0-9]{1,4})?", re.ASCII)


def newer_release(connection: Connection) -> str | None:
    """Return the release that made or upgraded the schema, if it is later than this one; None if it is not known."""
    try:
        found = connection.exec_driver_sql("SELECT release FROM store LIMIT 1").scalar()
    except DBAPIError:  # a later schema may keep it elsewhere
        return None
    return later_release(found)


def later_release(found: object) -> str | None:
    """Return the release that a database names, if it is later than this one; None for anything else."""
    if not isinstance(found, str) or not _RELEASE.fullmatch(found):
        return None
    from packaging.version import Version  # here: only a schema that we can't read needs it

    return found if Version(found) > Version(__version__) else None
