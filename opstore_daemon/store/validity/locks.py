"""Whether a lock still holds in a snapshot."""

from collections.abc import Iterator
from typing import NamedTuple

from opstore_daemon.protocol.digests import Digest
from opstore_daemon.protocol.names import OpName, PipelineName
from opstore_daemon.protocol.records import Check, Lock
from opstore_daemon.protocol.versions import Version
from opstore_daemon.store.catalog import ops, pipelines, version_rows
from opstore_daemon.store.catalog.version_rows import VersionRow
from opstore_daemon.store.snapshot import Snapshot
from opstore_daemon.store.validity import verdicts
from opstore_daemon.store.validity.verdicts import Chosen


def check_lock(snapshot: Snapshot, pipeline: PipelineName, lock: Lock) -> Check:
    """Return whether the lock holds, with a finding for each thing that has changed.

    Raises PipelineNotFound, and InvalidName, InvalidSubversions or InvalidDigest for a malformed lock.
    """
    locked_versions = _parse_versions(lock)
    graph = pipelines.get(snapshot, pipeline)
    findings: list[str] = []
    if sorted(lock.edges) != sorted(graph.edges) or {each.op for each in lock.versions} != set(graph.ops):
        findings.append(f"the ops or edges of the pipeline {pipeline} have changed")
    chosen: dict[str, Chosen] = {}
    for locked in locked_versions:
        op = ops.find(snapshot, locked.op)
        row = None if op is None else version_rows.by_subversions(snapshot, op.id, locked.subversions)
        if op is None or row is None:
            findings.append(f"{locked.op} has no version with the subversions {locked.subversions}")
        else:
            chosen[locked.op] = Chosen(op, row)
            findings += _changes(row, locked.digest)
    for up, down in graph.edges:
        if up in chosen and down in chosen:
            edge = verdicts.edge(snapshot, chosen[up], chosen[down])
            if edge.verdict != "valid":
                findings.append(f"{up} -> {down} is {edge.verdict}: {edge.reason}")
    return Check(pipeline=pipeline, holds=not findings, findings=tuple(findings), position=snapshot.last_position())


class _Locked(NamedTuple):
    op: OpName
    subversions: Version
    digest: Digest | None


def _parse_versions(lock: Lock) -> list[_Locked]:
    """Parse the lock, its edges too, so that a malformed one is an error rather than a lock that does not hold."""
    for edge in lock.edges:
        for op in edge:
            OpName.parse(op)
    return [
        _Locked(
            OpName.parse(each.op),
            Version.parse(each.subversions),
            None if each.digest is None else Digest.parse(each.digest),
        )
        for each in lock.versions
    ]


def _changes(row: VersionRow, digest: Digest | None) -> Iterator[str]:
    name = f"{row.op}@{row.number}"
    if row.yank_reason is not None:
        yield f"{name} is yanked: {row.yank_reason}"
    if digest is not None and row.digest != digest:
        yield f"{name} has different bytes in this store: {row.digest or 'none'}"
