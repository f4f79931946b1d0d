"""OpStoreServer: puts database, saver, store, guards and application together."""

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
    """An op store as a WSGI application, guarded as the daemon is.

    `saver` keeps the bytes, `db_url` (SQLAlchemy's form) the metadata; a database without a schema gets it, an
    older one is upgraded after a backup, a newer one is refused (SchemaTooNew). `token` may do everything; it is
    made where none is given. `tokens` are further ones, each with its scope. `hosts` are names that the daemon
    answers to besides those of loopback. `home` is the folder to tell of in its status.
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
        self.backup = self.migrate.upgrade()
        self.store = Store(self.db, saver, *([clock] if clock else []))
        self.store.uploads.sweep()
        self.guards = Guards({**(tokens or {}), self.token: "admin"}, hosts)
        self._home, self._started_at = home, datetime.now(UTC)
        self.flask = build(self.store, self.guards, self.status)

    def status(self) -> records.Status:
        """What this daemon is."""
        return records.Status(
            version=__version__,
            pid=os.getpid(),
            home=None if self._home is None else str(self._home),
            schema=self.migrate.current() or "",
            started_at=self._started_at,
        )

    def close(self) -> None:
        """Lets go of files and connections."""
        self.store.uploads.close()
        self.db.close()
