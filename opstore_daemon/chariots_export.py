"""Read the database of a chariots op store, for the command `chariots-export` (lines: protocol.chariots_export).

Never writes to the database, and never loads the objects that it stores.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, inspect, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import SQLAlchemyError

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.chariots_export import Line, Pipeline, Unreadable, Version

REQUIRED_TABLES = ("db_op", "db_version", "db_validated_link", "db_pipeline")
PIPELINE_LINKS = "db_pipeline_link"  # missing in databases of the first releases


def export(url: str) -> Iterator[Line]:
    """Yield the contents of the database; raise InvalidSetting if it can't be read or is something else."""
    try:
        parsed = make_url(url)
        engine = _engine(parsed)
        try:
            with engine.connect() as connection:
                yield from _read(connection)
        finally:
            engine.dispose()
    except (SQLAlchemyError, ImportError) as error:
        reason = str(getattr(error, "orig", None) or error).partition("\n")[0]
        raise errors.InvalidSetting(setting="--db", reason=reason) from error


def _engine(url: URL) -> Engine:
    if url.get_backend_name() != "sqlite":
        return create_engine(url)
    path = Path(url.database or "")
    if not path.is_file():
        raise errors.InvalidSetting(setting="--db", reason=f"file {path} does not exist")
    # With any other mode SQLite may write to the file, or create it.
    uri = f"{path.absolute().as_uri()}?mode=ro"
    return create_engine("sqlite://", creator=lambda: sqlite3.connect(uri, uri=True))


def _read(connection: Connection) -> Iterator[Line]:
    tables = inspect(connection).get_table_names()
    missing = [table for table in REQUIRED_TABLES if table not in tables]
    if missing:
        reason = f"not a chariots op store: table {missing[0]} is missing"
        raise errors.InvalidSetting(setting="--db", reason=reason)
    ops: dict[int, str] = {}
    for id_, name in _rows(connection, "SELECT id, op_name FROM db_op ORDER BY id"):
        if name is None:
            yield Unreadable(what="op", name=f"{id_}", reason="it has no name")
        else:
            ops[id_] = str(name)
    yield from _versions(connection, ops)
    yield from _pipelines(connection, ops, has_links=PIPELINE_LINKS in tables)


def _rows(connection: Connection, query: str) -> list[Any]:
    # Raw SQL, because SQLAlchemy's types raise an error for a malformed time.
    return list(connection.execute(text(query)))


# --- versions and their links -------------------------------------------------------------------------------------


@dataclass
class _Version:
    id: int
    op: str
    hashes: tuple[str | None, str | None, str | None]
    time: datetime | None
    links: dict[str, None] = field(default_factory=dict)  # an ordered set


def _versions(connection: Connection, ops: dict[int, str]) -> Iterator[Line]:
    columns = "id, op_id, version_time, major_hash, minor_hash, patch_hash"
    by_id: dict[int, _Version] = {}
    unique: dict[object, _Version] = {}
    for id_, op_id, time, *hashes in _rows(connection, f"SELECT {columns} FROM db_version ORDER BY id"):  # noqa: S608
        if op_id not in ops:
            yield Unreadable(what="version", name=f"{id_}", reason="its op is unknown")
            continue
        major, minor, patch = (None if each is None else str(each) for each in hashes)
        version = _Version(id_, ops[op_id], (major, minor, patch), _time(time))
        # The old store had no unique constraint on versions: rows of the same version become one.
        by_id[id_] = unique.setdefault((version.op, *version.hashes), version)
    yield from _add_links(connection, ops, by_id)
    for version in sorted(unique.values(), key=lambda one: (one.time or datetime.min, one.id)):  # noqa: DTZ901
        major, minor, patch = version.hashes
        yield Version(
            op=version.op,
            major=major,
            minor=minor,
            patch=patch,
            time=None if version.time is None else str(version.time),
            links=tuple(version.links),
        )


def _time(value: object) -> datetime | None:
    """Parse a time of chariots, in UTC without a time zone; return None if it is not a time."""
    with suppress(ValueError):
        time = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
        return time if time.tzinfo is None else time.astimezone(UTC).replace(tzinfo=None)
    return None


def _add_links(connection: Connection, ops: dict[int, str], versions: dict[int, _Version]) -> Iterator[Line]:
    """Add the links to their upstream versions; yield an Unreadable for each that can't be read."""
    columns = "id, upstream_op_id, upstream_op_version_id, downstream_op_id"
    for id_, upstream, version, downstream in _rows(
        connection,
        f"SELECT {columns} FROM db_validated_link ORDER BY id",  # noqa: S608
    ):
        source = versions.get(version)
        if source is None:
            yield Unreadable(what="link", name=f"{id_}", reason="its upstream version is unknown")
        elif source.op != ops.get(upstream):
            yield Unreadable(what="link", name=f"{id_}", reason="its upstream version belongs to another op")
        elif downstream not in ops:
            yield Unreadable(what="link", name=f"{id_}", reason="its downstream op is unknown")
        else:
            source.links[ops[downstream]] = None


# --- pipelines ----------------------------------------------------------------------------------------------------


def _pipelines(connection: Connection, ops: dict[int, str], has_links: bool) -> Iterator[Line]:
    links: dict[int, list[tuple[int, int | None]]] = {}
    if has_links:
        columns = "pipeline_id, upstream_op_id, downstream_op_id"
        for id_, upstream, downstream in _rows(connection, f"SELECT {columns} FROM {PIPELINE_LINKS} ORDER BY id"):  # noqa: S608
            links.setdefault(id_, []).append((upstream, downstream))
    for id_, name in _rows(connection, "SELECT id, pipeline_name FROM db_pipeline ORDER BY id"):
        pairs = links.get(id_, [])
        if name is None:
            yield Unreadable(what="pipeline", name=f"{id_}", reason="it has no name")
        elif not pairs:
            yield Unreadable(what="pipeline", name=str(name), reason="the old store did not record its ops")
        elif any(op not in ops for pair in pairs for op in pair if op is not None) or any(
            up is None for up, _ in pairs
        ):
            yield Unreadable(what="pipeline", name=str(name), reason="one of its ops is unknown")
        else:
            named = tuple((ops[up], None if down is None else ops[down]) for up, down in pairs)
            yield Pipeline(name=str(name), links=named)
