"""Stores that are moved in this process, and everything that their databases and savers have."""

import hashlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import select

from opstore_daemon import OpStoreServer, config
from opstore_daemon.metadata import Database
from opstore_daemon.metadata.tables import Base
from opstore_daemon.migration.moving import migrate
from opstore_daemon.migration.places import Places
from opstore_daemon.protocol.backup_lines import Migrated, Moved, Planned, Problem
from opstore_daemon.savers import FileSaver
from opstore_daemon.store.store import Store
from tools.released_schema import START, Story

Rows = dict[str, list[dict[str, Any]]]
TOKEN = "a-token-that-stays-the-same"

# What the old saver has and the new one does not: unfinished uploads, and where the objects are.
OF_THE_SAVER = ("upload", "object", "object_draft", "object_part")


@dataclass
class StorePlace:
    """A place for a store: the URLs of its database and its saver. `home` is that of its daemon."""

    home: Path
    db: str
    saver: str
    moved: list[Moved] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    @classmethod
    def in_folder(cls, folder: Path) -> "StorePlace":
        """Return the place of a store in a home of its own."""
        return cls(folder, f"sqlite:///{folder / 'opstore.db'}", (folder / "blobs").as_uri())

    @property
    def settings(self) -> config.Config:
        return config.load({"OPSTORE_HOME": str(self.home)}, self.db, self.saver)

    @contextmanager
    def opened(self, now: datetime | None = None) -> Iterator[Store]:
        """Open a server on the store in the context, which gets the store."""
        self.home.mkdir(exist_ok=True)
        database = Database(self.db)
        with closing(database):
            database.acquire(str(self.home))
            clock: Any = {} if now is None else {"clock": lambda: now}
            saver = Places(self.settings).saver(database)
            with closing(OpStoreServer(saver, database, token=TOKEN, home=self.home, **clock)) as server:
                yield server.store

    def move(self, to_db: str | None, to_saver: str | None, **options: bool) -> Migrated:
        """Move the store; return the result."""
        result = self._migrate(to_db, to_saver, **options)
        assert isinstance(result, Migrated)
        return result

    def move_to(self, other: "StorePlace", **options: bool) -> Migrated:
        """Move the store to another place."""
        return self.move(other.db, other.saver, **options)

    def plan(self, to_db: str | None, to_saver: str | None) -> Planned:
        """Return what a dry run says."""
        result = self._migrate(to_db, to_saver, dry_run=True)
        assert isinstance(result, Planned)
        return result

    def _migrate(self, to_db: str | None, to_saver: str | None, **options: bool) -> Migrated | Planned:
        self.moved, self.problems = [], []
        return migrate(self.settings, to_db, to_saver, self._report, **options)

    def _report(self, line: Moved | Problem) -> None:
        if isinstance(line, Problem):
            self.problems.append(line)
        else:
            self.moved.append(line)

    def rows(self, *, of_saver: bool = False) -> Rows:
        """Return all rows of all tables, in the order of their keys; without those of the saver, unless `of_saver`."""
        database, found = Database(self.db), {}
        with database.only_read(), database.read() as connection:
            for table in Base.metadata.sorted_tables:
                if of_saver or table.name not in OF_THE_SAVER:
                    result = connection.execute(select(table)).mappings()
                    found[table.name] = sorted((dict(row) for row in result), key=repr)
        return found

    def blobs(self) -> dict[str, bytes]:
        """Return the bytes of all blobs, by digest, as whoever serves the store reads them."""
        database = Database(self.db)
        with closing(database):
            saver = Places(self.settings).saver(database)
            found = {}
            for digest in saver:
                with closing(saver.open(digest)) as file:
                    found[str(digest)] = file.read()
        assert all(name == f"sha256:{hashlib.sha256(data).hexdigest()}" for name, data in found.items())
        return found

    def at(self, **changes: str) -> "StorePlace":
        """Return this place with another database or saver."""
        return replace(self, moved=[], problems=[], **changes)  # type: ignore[arg-type]


def tell_story(place: StorePlace) -> None:
    """Fill the place with rows of every kind, with awkward values."""
    place.home.mkdir()
    story: list[Story] = []

    def now() -> datetime:
        return story[0].now() if story else START

    with closing(OpStoreServer(FileSaver(place.home / "blobs"), place.db, token=TOKEN, clock=now)) as server:
        store = server.store
        story.append(Story(store, server.migrate.head()))
        story[0].tell()
        awkward = "Ünïcödé \U0001f980\u2028 \u202e\x01\t\r\n'\"\\ NULL \\N"
        store.push("odd", b"", message=awkward, labels={"ключ": awkward}, filename="naïve\u00e9.bin")
        store.push("odd", b"same bytes", fields={"major": {"k": "1" * 500}})
        store.push("other", b"same bytes", message="")
        store.push("gone", b"removed bytes")
        store.remove(["gone@1.0.0"])
        store.push("gone", b"came back")
        store.remove(["other@1.0.0"])
        _insert_rows(server.db)


def _insert_rows(database: Database) -> None:
    """Insert rows that only a daemon makes, or a failing disk."""
    tables = Base.metadata.tables
    secret, big = "a" * 64, 2**62
    rows: dict[str, dict[str, Any]] = {
        "answer": {"owner": secret, "key": "k" * 128, "request": "b" * 64, "body": '{"a":"é\\u0000"}', "at": big},
        "damaged_blob": {"digest": f"sha256:{'0' * 64}", "problem": "it is missing", "found_at": 1},
        "page_code": {"code": secret, "owner": "local", "expires_at": big, "session": None},
        "page_session": {"session": secret, "owner": "local", "expires_at": big},
    }
    with database.write() as connection:
        for name, row in rows.items():
            connection.execute(tables[name].insert().values(row))


def instant() -> datetime:
    """Return a time after everything in the story."""
    return datetime(2027, 1, 1, tzinfo=UTC)
