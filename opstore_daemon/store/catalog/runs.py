"""Runs: what a command showed about sets of versions of a pipeline."""

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import ColumnElement, Connection, Executable, Select, bindparam, insert, select

from opstore_daemon.metadata.statements import Query, Statement, prepared
from opstore_daemon.metadata.tables import Journal, Op, Run, RunVersion, Version
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.digests import Digest
from opstore_daemon.protocol.names import PipelineName
from opstore_daemon.protocol.records import NewRun, OpVersion, RunRecord, RunResult
from opstore_daemon.protocol.version_sets import command_digest
from opstore_daemon.protocol.versions import VersionNumber
from opstore_daemon.store import journal
from opstore_daemon.store.catalog import ops
from opstore_daemon.store.catalog.version_rows import BLOCK, VersionRow
from opstore_daemon.store.journal import Stamp
from opstore_daemon.store.snapshot import Snapshot

MAX_POSITION = 2**62
MAX_RUNS = 200  # that a page has: each may have hundreds of versions


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Which runs to list: of that pipeline, of that version (by its id), of that set, with that result, ..."""

    pipeline: PipelineName | None = None
    version_id: int | None = None
    set_digest: Digest | None = None
    result: RunResult | None = None
    command: Digest | None = None
    script: Digest | None = None

    @property
    def values(self) -> dict[str, Any]:
        """The values of the filter's conditions (_CONDITIONS), by name."""
        values = {
            "pipeline": self.pipeline,
            "version_id": self.version_id,
            "set_digest": self.set_digest,
            "result": self.result,
            "command": self.command,
            "script": self.script,
        }
        return {name: value for name, value in values.items() if value is not None}


def record(
    connection: Connection, pipeline: str, digest: Digest, versions: Sequence[VersionRow], new: NewRun, stamp: Stamp
) -> RunRecord:
    """Record a run on the set with that digest; `versions` are those of the set, in the order of the data."""
    position = journal.append(connection, "run", stamp)
    row = {
        "position": position,
        "pipeline": pipeline,
        "set_digest": digest,
        "command": json.dumps(new.command, ensure_ascii=False),
        "command_digest": command_digest(new.command),
        "script": new.script,
        "script_path": new.script_path,
        "result": new.result,
        "reason": new.reason,
        "exit_code": new.exit_code,
        "duration": round(new.duration * 1_000_000),
        "repeat": new.repeat,
        "output_digest": new.output_digest,
        "output_size": new.output_size,
        "git_commit": new.commit,
        "ci_url": new.ci_url,
        "output": zlib.compress(new.output.encode()),
    }
    _INSERT.run(connection, row)
    places = [
        {"run_position": position, "op_id": each.op_id, "version_id": each.id, "place": place}
        for place, each in enumerate(versions)
    ]
    connection.execute(insert(RunVersion), places)
    ops.touch(connection, [each.op_id for each in versions], position)
    return get(Snapshot(connection), position)


_INSERT = Statement(insert(Run))


def records(snapshot: Snapshot, filter_: RunFilter, below: int | None, limit: int) -> list[RunRecord]:
    """Return the runs that the filter selects, newest first: at most `limit` runs below a position."""
    highest = _newest(snapshot) if below is None else min(below - 1, _newest(snapshot))
    values = filter_.values
    return _records(snapshot, _filtered(tuple(values), highest=highest, most=limit, **values))


def _newest(snapshot: Snapshot) -> int:
    """Return the highest position that the snapshot may see."""
    return MAX_POSITION if snapshot.position is None else snapshot.position


def get(snapshot: Snapshot, position: int) -> RunRecord:
    """Return the run at that position; raise RunNotFound."""
    found = _records(snapshot, _at(run=position)) if snapshot.is_visible(position) else []
    if not found:
        raise errors.RunNotFound(run=position)
    return found[0]


def output(snapshot: Snapshot, position: int) -> str:
    """Return the output that the store keeps of the run at that position; raise RunNotFound."""
    compressed = snapshot.execute(_output(run=position)).scalar()
    if compressed is None or not snapshot.is_visible(position):
        raise errors.RunNotFound(run=position)
    return zlib.decompress(compressed).decode()


def newest_of_set(snapshot: Snapshot, digest: Digest) -> RunRecord | None:
    """Return the newest run of exactly this set that passed or failed, or None."""
    query = _of_set(highest=_newest(snapshot), set_digest=digest)
    found = _records(snapshot, query)
    return found[0] if found else None


def newest_with(snapshot: Snapshot, version_id: int, limit: int) -> list[RunRecord]:
    """Return the newest runs of sets with that version."""
    return records(snapshot, RunFilter(version_id=version_id), None, limit)


def has_same_test(snapshot: Snapshot, position: int, new: NewRun) -> bool:
    """Return whether the run at that position had the command and the script of the new one."""
    row = snapshot.execute(_test(run=position)).one()
    return (row.command_digest, row.script) == (command_digest(new.command), new.script)


def runs_of(snapshot: Snapshot, pipeline: PipelineName, positions: Sequence[int]) -> set[int]:
    """Return those of the positions at which there are runs of the pipeline."""
    found: set[int] = set()
    for start in range(0, len(positions), BLOCK):  # SQLite limits the parameters of a statement
        block = positions[start : start + BLOCK]
        query = select(Run.position).where(Run.pipeline == pipeline, Run.position.in_(block))
        found |= set(snapshot.execute(query).scalars())
    return found


_CONDITIONS: Mapping[str, ColumnElement[bool]] = {
    "pipeline": Run.pipeline == bindparam("pipeline"),
    "version_id": RunVersion.version_id == bindparam("version_id"),
    "set_digest": Run.set_digest == bindparam("set_digest"),
    "result": Run.result == bindparam("result"),
    "command": Run.command_digest == bindparam("command"),
    "script": Run.script == bindparam("script"),
}


def _select_runs() -> Select[*tuple[Any, ...]]:
    """Select runs without their output."""
    return select(
        Run.position,
        Journal.at,
        Journal.author,
        Run.pipeline,
        Run.set_digest,
        Run.command,
        Run.script,
        Run.script_path,
        Run.result,
        Run.reason,
        Run.exit_code,
        Run.duration,
        Run.repeat,
        Run.output_digest,
        Run.output_size,
        Run.git_commit,
        Run.ci_url,
    ).join(Journal, Journal.position == Run.position)


@prepared
def _filtered(names: tuple[str, ...], *, highest: int, most: int, **_: object) -> Executable:
    query, position = _select_runs(), Run.position
    if "version_id" in names:  # its index is in the order of the runs
        query, position = query.join(RunVersion, RunVersion.run_position == Run.position), RunVersion.run_position
    query = query.where(position <= highest, *(_CONDITIONS[name] for name in names))
    return query.order_by(position.desc()).limit(most)


@prepared
def _at(*, run: int) -> Executable:
    return _select_runs().where(Run.position == run)


@prepared
def _output(*, run: int) -> Executable:
    return select(Run.output).where(Run.position == run)


@prepared
def _test(*, run: int) -> Executable:
    return select(Run.command_digest, Run.script).where(Run.position == run)


@prepared
def _of_set(*, highest: int, set_digest: str) -> Executable:
    newest = _select_runs().where(Run.set_digest == set_digest, Run.position <= highest, Run.result != "unknown")
    return newest.order_by(Run.position.desc()).limit(1)


def _records(snapshot: Snapshot, query: Query) -> list[RunRecord]:
    rows = snapshot.execute(query).all()
    versions = _versions(snapshot, [row.position for row in rows])
    return [
        RunRecord(
            position=row.position,
            registered_at=journal.to_datetime(row.at),
            author=row.author,
            pipeline=row.pipeline,
            set=row.set_digest,
            versions=tuple(versions[row.position]),
            command=tuple(json.loads(row.command)),
            script=row.script,
            script_path=row.script_path,
            result=cast(RunResult, row.result),
            reason=row.reason,
            exit_code=row.exit_code,
            duration=row.duration / 1_000_000,
            repeat=row.repeat,
            output_digest=row.output_digest,
            output_size=row.output_size,
            commit=row.git_commit,
            ci_url=row.ci_url,
        )
        for row in rows
    ]


def _versions(snapshot: Snapshot, positions: Sequence[int]) -> dict[int, list[OpVersion]]:
    """Return the versions of the runs at these positions, at most MAX_RUNS, in the order of the data."""
    found: dict[int, list[OpVersion]] = {position: [] for position in positions}
    if positions:
        for position, op, *number in snapshot.execute(_versions_of(positions=positions)):
            found[position].append(OpVersion(op=op, version=str(VersionNumber(*number))))
    return found


@prepared
def _versions_of(*, positions: Sequence[int]) -> Executable:
    numbers = (Version.major_number, Version.minor_number, Version.patch_number)
    query = select(RunVersion.run_position, Op.name, *numbers).join(Version, Version.id == RunVersion.version_id)
    query = query.join(Op, Op.id == RunVersion.op_id).where(RunVersion.run_position.in_(positions))
    return query.order_by(RunVersion.run_position, RunVersion.place)
