"""Locks: the versions that a lock selects in a snapshot, and whether the lock still holds."""

from collections.abc import Sequence
from typing import NamedTuple

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.digests import Digest
from opstore_daemon.protocol.locks import check
from opstore_daemon.protocol.names import OpName, PipelineName
from opstore_daemon.protocol.records import Check, Lock
from opstore_daemon.protocol.references import Reference
from opstore_daemon.protocol.versions import Version
from opstore_daemon.store.catalog import ops, pipelines, references, removed, version_rows
from opstore_daemon.store.catalog.version_rows import VersionRow
from opstore_daemon.store.snapshot import Snapshot
from opstore_daemon.store.validity import verdicts
from opstore_daemon.store.validity.verdicts import Chosen


class LockedOp(NamedTuple):
    """A version in a lock; `digest` and `size` (bytes) are None if the lock pins no bytes."""

    op: OpName
    subversions: Version
    digest: Digest | None
    size: int | None


def parse(lock: Lock) -> list[LockedOp]:
    """Return the versions of the lock.

    Raises InvalidRequest for a lock that is not whole, and InvalidName, InvalidSubversions or InvalidDigest.
    """
    parsed = [
        LockedOp(
            OpName.parse(each.op),
            Version.parse(each.subversions),
            None if each.digest is None else Digest.parse(each.digest),
            each.size,
        )
        for each in lock.versions
    ]
    for edge in lock.edges:
        for op in edge:
            OpName.parse(op)
    check(lock)
    return parsed


def select(snapshot: Snapshot, locked: Sequence[LockedOp]) -> list[VersionRow]:
    """Return the version of each op of a lock, yanked or not.

    Raises OpNotFound, VersionNotFound, and LockConflict if the store has other bytes for one of them.
    """
    rows = [references.find_version(snapshot, Reference(each.op, each.subversions, bare=False)) for each in locked]
    for each, row in zip(locked, rows, strict=True):
        _check_bytes(row, each)
    return rows


def check_lock(snapshot: Snapshot, pipeline: PipelineName, lock: Lock) -> Check:
    """Return whether the lock holds, with a finding for each thing that has changed.

    Raises PipelineNotFound, LockConflict if the store has other bytes for a version, and what `parse` raises.
    """
    locked_versions = parse(lock)
    graph = pipelines.get(snapshot, pipeline)
    findings: list[str] = []
    if sorted(lock.edges) != sorted(graph.edges) or {each.op for each in lock.versions} != set(graph.ops):
        findings.append(f"the ops or edges of the pipeline {pipeline} have changed")
    chosen: dict[str, Chosen] = {}
    for locked in locked_versions:
        op = ops.find(snapshot, locked.op)
        row = None if op is None else version_rows.by_subversions(snapshot, op.id, locked.subversions)
        if op is None or row is None:
            findings.append(_missing(snapshot, locked))
        else:
            _check_bytes(row, locked)
            chosen[locked.op] = Chosen(op, row)
            if row.yank_reason is not None:
                findings.append(f"{row.op}@{row.number} is yanked: {row.yank_reason}")
    for up, down in graph.edges:
        if up in chosen and down in chosen:
            edge = verdicts.edge(snapshot, chosen[up], chosen[down])
            if edge.verdict != "valid":
                findings.append(f"{up} -> {down} is {edge.verdict}: {edge.reason}")
    return Check(
        pipeline=pipeline,
        holds=not findings,
        findings=tuple(findings),
        versions=tuple(map(verdicts.op_version, chosen.values())),
        position=snapshot.last_position(),
    )


def _missing(snapshot: Snapshot, locked: LockedOp) -> str:
    """Return why the store has no such version, in words: it was removed, or never was there."""
    op_id = ops.find_any(snapshot, locked.op)
    with_them = version_rows.with_subversions(locked.subversions)
    found = None if op_id is None else removed.find(snapshot, locked.op, op_id, with_them)
    if found is not None:
        return f"{found.op}@{found.number} was removed {found.how}"
    return f"{locked.op} has no version with the subversions {locked.subversions}"


def _check_bytes(row: VersionRow, locked: LockedOp) -> None:
    """Raise LockConflict if the lock pins other bytes than the version has."""
    if locked.digest is not None and (row.digest != locked.digest or locked.size not in (None, row.size)):
        raise errors.LockConflict.of(f"{row.op}@{row.number}", (row.digest, row.size), (locked.digest, locked.size))
