"""The id of a store: 32 lower-case hex digits in the one row of the table `store`."""

import time
import uuid
from typing import Any

from sqlalchemy import Connection, select

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
