"""Fill a store with rows of the shape that pushes leave, written to the tables directly: pushes would take hours.

Each version was pushed with a file name, a message, a label and a link from a version of the op before it in a chain;
each tenth moved a tag. Its object is in an object store. Digests, samples and keys of objects are random, so that their
indexes grow as in a store that was filled over years.
"""

import random
from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import update

from benchmarks.rows import insert
from opstore_daemon.metadata import Database
from opstore_daemon.metadata.tables import Counter

OP_VERSIONS = 1000  # versions of an op
CHUNK = 5000  # versions that are written to all tables before the next ones
NOTHING = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"  # the SHA-256 of no bytes
START = 1_750_000_000_000_000  # microseconds since 1970

COLUMNS: dict[str, Sequence[str]] = {
    "op": ("id", "name", "compat", "created_compat", "last_sequence", "position", "changed"),
    "journal": ("position", "at", "kind", "author", "op_id"),
    "version": (
        *("id", "op_id", "sequence", "major", "minor", "patch", "major_number", "minor_number", "patch_number"),
        *("digest", "size", "position", "stored_position", "registered_at", "message", "sample", "filename"),
    ),
    "label": ("version_id", "key", "position", "value"),
    "link": (
        *("position", "upstream_id", "upstream_version_id", "upstream_major", "upstream_minor"),
        *("downstream_id", "downstream_version_id", "state"),
    ),
    "tag": ("position", "op_id", "name", "version_id", "until"),
    "object": ("key", "state", "digest", "size", "at"),
}

Rows = dict[str, list[tuple[Any, ...]]]


def fill(database: Database, versions: int) -> None:
    """Write that many versions, of as many ops as that takes, to a store that has none."""
    chance = random.Random(versions)
    with database.write() as connection:
        count = (versions + OP_VERSIONS - 1) // OP_VERSIONS
        ops = [
            (op + 1, f"op-{op:06d}", "exact", "exact", min(versions - op * OP_VERSIONS, OP_VERSIONS), 1, 1)
            for op in range(count)
        ]
        insert(connection, "op", COLUMNS["op"], ops)
        position = 0
        for rows, last in _chunks(versions, chance):
            position = last
            for table, each in rows.items():
                insert(connection, table, COLUMNS[table], each)
        connection.execute(update(Counter).values(position=position, at=START + position))


def _chunks(versions: int, chance: random.Random) -> Iterator[tuple[Rows, int]]:
    """Yield rows by table, and the last position that they use."""
    position = 0
    for start in range(0, versions, CHUNK):
        rows: Rows = {table: [] for table in COLUMNS if table != "op"}
        for n in range(start, min(start + CHUNK, versions)):
            op, sequence = n // OP_VERSIONS + 1, n % OP_VERSIONS + 1
            position += 1
            at, pushed = START + position, position
            digest, size = f"sha256:{chance.randbytes(32).hex()}", chance.randrange(1, 1 << 25)
            rows["journal"].append((pushed, at, "version", "ana@laptop", op))
            rows["version"].append((
                *(n + 1, op, sequence, NOTHING, NOTHING, chance.randbytes(32).hex(), 1, 0, sequence - 1),
                *(digest, size, pushed, pushed, at, "retrained on the reviews of May"),
                *(f"xxh128:{chance.randbytes(16).hex()}", "model.safetensors"),
            ))  # fmt: skip
            rows["label"].append((n + 1, "dataset", pushed, "reviews-2026-05"))
            rows["object"].append((chance.randbytes(16).hex(), "blob", digest, size, at))
            if op > 1:
                position += 1
                rows["journal"].append((position, at, "link", "ana@laptop", None))
                rows["link"].append((position, op - 1, n + 1 - OP_VERSIONS, 1, 0, op, n + 1, "valid"))
            if sequence % 10 == 1:
                position += 1
                rows["journal"].append((position, at, "tag", "ana@laptop", None))
                rows["tag"].append((position, op, "candidate", n + 1, None))
        # The tags of an op replace each other; only its last one is in force.
        rows["tag"] = _replaced(rows["tag"])
        yield rows, position


def _replaced(tags: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    following: dict[int, int] = {}
    done = []
    for position, op, name, version, _ in reversed(tags):
        done.append((position, op, name, version, following.get(op)))
        following[op] = position
    return done[::-1]
