"""OpStoreServer: a database, a saver, a store, guards and the application, put together."""

import os
import secrets
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from opstore_daemon.metadata import Database, Migrate
from opstore_daemon.protocol import records
from opstore_daemon.protocol._version import __version__
from opstore_daemon.savers import BaseSaver
from opstore_daemon.store import Store
from opstore_daemon.web.app import build
from opstore_daemon.web.guards import Guards, Scope


class OpStoreServer:
    """An op store as a WSGI application (`flask`), with the same guards as the daemon.

    The saver stores the bytes, the database at `db_url` (a SQLAlchemy URL) the metadata. An empty database gets the
    schema, an older one is upgraded after a backup, a newer one is refused (SchemaTooNew). `token` has the scope admin
    and is generated if it is not given; `tokens` are additional ones with their scopes. `hosts` are host names that the
    server answers to in addition to those of loopback. `home` is the folder that the status reports.
    """

    def __init__(
        self,
        saver: BaseSaver,
        db_url: str = "sqlite:///:memory:",
        *,
        token: str | None = None,
        tokens: Mapping[str, Scope] | None = None,
        hosts: Iterable[str] = (),
        home: Path | None = None,
        clock: Callable[[], datetime] | None = None,
    ) -> None:
        self.token = token or secrets.token_urlsafe(32)
        self.db = Database(db_url)
        self.migrate = Migrate(self.db)
        self.store = Store(self.db, saver, *([clock] if clock else []))
        try:
            self.backup = self.migrate.upgrade()
            self.store.uploads.sweep()
        except BaseException:
            self.close()
            raise
        self.guards = Guards({**(tokens or {}), self.token: "admin"}, hosts)
        self._home, self._started_at = home, datetime.now(UTC)
        self.flask = build(self.store, self.guards, self.status)

    def status(self) -> records.Status:
        """Return the version, process, home and schema of this daemon."""
        return records.Status(
            version=__version__,
            pid=os.getpid(),
            home=None if self._home is None else str(self._home),
            schema=self.migrate.current() or "",
            started_at=self._started_at,
        )

    def close(self) -> None:
        """Close files and connections."""
        self.store.uploads.close()
        self.db.close()
