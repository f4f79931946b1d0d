"""OpStoreServer: a database, a saver, a store, guards and the application, put together."""

import os
import secrets
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from opstore_daemon.metadata import Database, Migrate
from opstore_daemon.protocol import errors, records
from opstore_daemon.protocol._version import __version__
from opstore_daemon.savers import BaseSaver
from opstore_daemon.store import Store, journal
from opstore_daemon.store.object_records import DatabaseObjectRecords
from opstore_daemon.store.opening import open_together
from opstore_daemon.system import namespaces
from opstore_daemon.web.app import build
from opstore_daemon.web.guards import Guards, Scope
from opstore_daemon.web.readiness import Readiness


class OpStoreServer:
    """An op store as a WSGI application (`flask`), with the same guards as the daemon.

    The saver stores the bytes, the database at `db_url` (a SQLAlchemy URL) the metadata. One server at a time uses a
    database file and a saver's storage, until `close` (else StoreInUse). An empty database gets the schema, an older
    one is upgraded after a backup, a newer one is refused (SchemaTooNew), and so are a database and blobs that do not
    belong together (DatabaseLost, BlobsLost, StoreMismatch, DatabaseDamaged). `token` has the scope admin
    and is generated if it is not given; `tokens` are additional ones with their scopes. `hosts` are host names that the
    server answers to in addition to those of loopback. `home` is the folder that the status reports.
    In place of `db_url` the daemon passes a database that it has acquired and will close.
    """

    def __init__(
        self,
        saver: BaseSaver,
        db_url: str | Database = "sqlite:///:memory:",
        *,
        token: str | None = None,
        tokens: Mapping[str, Scope] | None = None,
        hosts: Iterable[str] = (),
        home: Path | None = None,
        clock: Callable[[], datetime] | None = None,
    ) -> None:
        self.token = token or secrets.token_urlsafe(32)
        self._home, self._started_at = home, datetime.now(UTC)
        self.on_stop: Callable[[], None] | None = None  # set by the HTTP server that can be stopped
        place = None if home is None else str(home)
        with errors.advised("OpStoreServer()"), ExitStack() as held:
            saver.acquire(place)
            held.callback(saver.release)
            if isinstance(db_url, Database):
                self.db = db_url
            else:
                self.db = Database(db_url)
                held.callback(self.db.close)
                self.db.acquire(place)
            self.migrate = Migrate(self.db)
            if saver.needs_records:
                if self.db.is_in_memory:
                    reason = f"it is in memory, and only the database knows what the objects in {saver.place()} are"
                    raise errors.InvalidSetting(setting="--db", reason=reason)
                now = [lambda: journal.to_microseconds(clock())] if clock else []
                saver.attach(DatabaseObjectRecords(self.db, *now))
            opened = open_together(self.db, self.migrate, saver)
            self.backup = opened.backup
            self.store = Store(self.db, saver, *([clock] if clock else []), owns_blobs=opened.owns_blobs)
            held.callback(self.store.long_pushes.close)  # after the uploads, whose reads end then
            held.callback(self.store.uploads.close)
            self.store.uploads.sweep(drafts=opened.owns_blobs)
            self.guards = Guards({**(tokens or {}), self.token: "admin"}, self.store.page_sessions, hosts)
            self.readiness = Readiness(self.store.check)
            self.flask = build(self.store, self.guards, self.status, self.stop, self.readiness)
            self._held = held.pop_all()

    def status(self) -> records.Status:
        """Return the version, process, home, schema and sizes of this daemon."""
        return records.Status(
            **self.store.sizes(),
            version=__version__,
            pid=os.getpid(),
            home=None if self._home is None else str(self._home),
            schema=self.migrate.current() or "",
            started_at=self._started_at,
            host=namespaces.host_name() or None,
        )

    def stop(self) -> None:
        """Have the HTTP server end once its running requests are finished, without waiting for that.

        Raises StopUnavailable if this application runs within another program.
        """
        if self.on_stop is None:
            raise errors.StopUnavailable
        self.on_stop()

    def close(self) -> None:
        """Close files and connections, and release the database and the saver."""
        self._held.close()
