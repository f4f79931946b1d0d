"""Bisections: which entry of the journal broke a pipeline, as a client found out with runs on past sets."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Executable, insert, select

from opstore_daemon.metadata.statements import Statement, prepared
from opstore_daemon.metadata.tables import Bisection, Journal, Op, Version
from opstore_daemon.protocol.digests import Digest
from opstore_daemon.protocol.names import OpName, PipelineName
from opstore_daemon.protocol.records import NewBisection, OpVersion
from opstore_daemon.protocol.versions import VersionNumber
from opstore_daemon.store import journal
from opstore_daemon.store.catalog import ops, version_rows
from opstore_daemon.store.journal import Stamp
from opstore_daemon.store.paging import NO_LIMIT
from opstore_daemon.store.snapshot import Snapshot

MAX_BISECTIONS = 200  # that a page has: each has the versions of a set


@dataclass(frozen=True, slots=True)
class BisectionRow:
    """A bisection as the database has it: `op` and `version` are of the first bad entry."""

    position: int
    at: int
    author: str | None
    pipeline: str
    command: tuple[str, ...]
    script: Digest | None
    good: int
    bad: int
    last_good: int
    first_bad: int
    op: str
    version: str | None
    skipped: tuple[int, ...]
    runs: tuple[int, ...]
    last_good_versions: tuple[OpVersion, ...]


def record(
    connection: Connection,
    pipeline: PipelineName,
    new: NewBisection,
    broken: OpVersion,
    last_good: Sequence[OpVersion],
    stamp: Stamp,
) -> BisectionRow:
    """Record a bisection; `broken` is the version from the first bad entry on, `last_good` the last set that passed."""
    snapshot = Snapshot(connection)
    op_id = ops.get(snapshot, OpName(broken.op)).id
    number = VersionNumber.parse(broken.version or "")
    version_id = version_rows.id_of(snapshot, op_id, number)  # it may be removed by now
    assert version_id is not None, "its row stays"  # noqa: S101
    position = journal.append(connection, "bisection", stamp, op_id)
    row = {
        "position": position,
        "pipeline": pipeline,
        "command": json.dumps(new.command, ensure_ascii=False),
        "script": new.script,
        "good": new.good,
        "bad": new.bad,
        "last_good": new.last_good,
        "first_bad": new.first_bad,
        "op_id": op_id,
        "version_id": version_id,
        "skipped": json.dumps(new.skipped),
        "runs": json.dumps(new.runs),
        "last_good_versions": json.dumps([[each.op, each.version] for each in last_good]),
    }
    _INSERT.run(connection, row)
    (recorded,) = rows(snapshot, None, position + 1, 1)
    return recorded


_INSERT = Statement(insert(Bisection))


def rows(snapshot: Snapshot, pipeline: PipelineName | None, below: int | None, limit: int) -> list[BisectionRow]:
    """Return the bisections of the pipeline (None: of any), newest first: at most `limit` below a position."""
    values = {} if pipeline is None else {"pipeline": pipeline}
    last = NO_LIMIT if snapshot.position is None else snapshot.position
    highest = last if below is None else min(below - 1, last)
    query = _bisections(pipeline is None, highest=highest, most=limit, **values)
    return [_row(row) for row in snapshot.execute(query)]


@prepared
def _bisections(of_any: bool, *, highest: int, most: int, pipeline: str | None = None) -> Executable:
    numbers = (Version.major_number, Version.minor_number, Version.patch_number)
    query = select(Bisection, Journal.at, Journal.author, Op.name.label("op"), *numbers)
    query = query.join(Journal, Journal.position == Bisection.position).join(Op, Op.id == Bisection.op_id)
    query = query.outerjoin(Version, Version.id == Bisection.version_id).where(Bisection.position <= highest)
    if not of_any:
        query = query.where(Bisection.pipeline == pipeline)
    return query.order_by(Bisection.position.desc()).limit(most)


def _row(row: Any) -> BisectionRow:
    number = (row.major_number, row.minor_number, row.patch_number)
    last_good = json.loads(row.last_good_versions)
    return BisectionRow(
        position=row.position,
        at=row.at,
        author=row.author,
        pipeline=row.pipeline,
        command=tuple(json.loads(row.command)),
        script=row.script,
        good=row.good,
        bad=row.bad,
        last_good=row.last_good,
        first_bad=row.first_bad,
        op=row.op,
        version=None if number[0] is None else str(VersionNumber(*number)),
        skipped=tuple(json.loads(row.skipped)),
        runs=tuple(json.loads(row.runs)),
        last_good_versions=tuple(OpVersion(op=op, version=version) for op, version in last_good),
    )
