"""Fill a store with many versions and links, written to the tables directly: the verbs would take hours."""

import random
from collections.abc import Sequence

from sqlalchemy import Connection, update

from benchmarks.rows import insert
from opstore_daemon import OpStoreServer
from opstore_daemon.metadata.tables import Counter
from opstore_daemon.protocol.records import Level

MAJOR, MINOR = 100, 10  # every n-th version begins a new major, a new minor
EVERY, DOWN = 40, 3  # every 40th version has 3 more links, to older versions of the next op


def fill(server: OpStoreServer, ops: Sequence[str], versions: int, back: int) -> int:
    """Create `versions` versions of each op of a chain, and the pipeline `chain`; return the number of links.

    Each version is valid for the version of the next op that was made with it, and some for older ones. The newest
    `back` versions of each op are valid for nothing.
    """
    with server.db.write() as connection:
        for place, op in enumerate(ops):
            _fill_op(connection, place, op, versions, MAJOR, MINOR)
        links = sum(_link(connection, place, versions, back) for place in range(len(ops) - 1))
        last = connection.exec_driver_sql("SELECT count(*) FROM journal").scalar_one()
        connection.execute(update(Counter).values(position=last, at=last))
    server.store.register_pipeline("chain", ops)
    return links


def fill_line(server: OpStoreServer, op: str, versions: int, level: Level) -> None:
    """Create versions of one op, each the next one at `level`."""
    major, minor = {"patch": (versions, versions), "minor": (versions, 1), "major": (1, 1)}[level]
    with server.db.write() as connection:
        _fill_op(connection, 0, op, versions, major, minor)
        connection.execute(update(Counter).values(position=versions, at=versions))


def number(n: int) -> str:
    """Return the version number of an op's n-th version, from 0."""
    return f"{n // MAJOR + 1}.{n % MAJOR // MINOR}.{n % MINOR}"


def _next(connection: Connection) -> int:
    return int(connection.exec_driver_sql("SELECT coalesce(max(position), 0) + 1 FROM journal").scalar_one())


def _fill_op(connection: Connection, place: int, op: str, versions: int, major: int, minor: int) -> None:
    start = _next(connection)
    insert(connection, "op", ("id", "name", "last_sequence", "position"), [(place + 1, op, versions, start)])
    rows = [
        (
            place * versions + n + 1, place + 1, n + 1, f"{n // major:04x}", f"{n // minor:06x}", f"{n:08x}",
            n // major + 1, n % major // minor, n % minor, f"sha256:{place:032x}{n:032x}", 1, start + n, start + n, 0,
            f"xxh128:{place:016x}{n:016x}",
        )
        for n in range(versions)
    ]  # fmt: skip
    entries = [(start + n, start + n, "version", place + 1) for n in range(versions)]
    insert(connection, "journal", ("position", "at", "kind", "op_id"), entries)
    columns = ("id", "op_id", "sequence", "major", "minor", "patch", "major_number", "minor_number", "patch_number")
    more = ("digest", "size", "position", "stored_position", "registered_at", "sample")
    insert(connection, "version", (*columns, *more), rows)


def _link(connection: Connection, place: int, versions: int, back: int) -> int:
    start, chance, rows = _next(connection), random.Random(place), []
    for n in range(max(versions - back, 0)):
        targets = {n} | {chance.randrange(max(n - 50, 0), n + 1) for _ in range(DOWN if n % EVERY == EVERY - 1 else 0)}
        rows += [(n, target) for target in sorted(targets)]
    entries = [(start + at, start + at, "link") for at in range(len(rows))]
    insert(connection, "journal", ("position", "at", "kind"), entries)
    columns = ("position", "upstream_id", "upstream_version_id", "upstream_major", "upstream_minor")
    insert(
        connection,
        "link",
        (*columns, "downstream_id", "downstream_version_id", "state"),
        [
            (
                start + at,
                place + 1,
                place * versions + n + 1,
                n // MAJOR + 1,
                n % MAJOR // MINOR,
                place + 2,
                (place + 1) * versions + target + 1,
                "valid",
            )
            for at, (n, target) in enumerate(rows)
        ],
    )
    return len(rows)
