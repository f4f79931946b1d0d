"""Select the versions for a pull: by the ops that they are valid for, from a pipeline's resolution, or from a lock."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from opstore_cli.client import locks
from opstore_cli.console import lock_files, results
from opstore_cli.output.document import Output
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.reference_text import format_reference

if TYPE_CHECKING:
    from opstore_cli.client.client import OpStoreClient
    from opstore_daemon.protocol.names import PipelineName
    from opstore_daemon.protocol.records import VersionRecord
    from opstore_daemon.protocol.references import Reference


def select_valid(
    out: Output, client: "OpStoreClient", references: "Sequence[Reference]", downstreams: "Sequence[Reference]"
) -> "list[VersionRecord] | int":
    """Return the newest version of each reference that is valid for all downstreams; an exit code if one has none."""
    selected = []
    for reference in references:
        found = client.versions(reference, valid_for=downstreams, limit=1)
        results.note_skipped(out, found.skipped)
        if not found.versions:
            document: dict[str, Any] = {"pulled": [], "verdict": found.verdict, "skipped": found.skipped}
            return results.report_none_valid(out, found.op, downstreams, found.verdict, document)
        selected.append(found.versions[0])
    return selected


def select_of_pipeline(
    out: Output,
    client: "OpStoreClient",
    references: "Sequence[Reference]",
    pipeline: "PipelineName",
    timeout: float | None,
) -> "list[VersionRecord] | int":
    """Return the versions of these ops in the pipeline's resolution, or an exit code if it has none.

    Without references, return all versions that have bytes.
    """
    for reference in references:
        if not reference.bare:
            raise click.UsageError(f"--pipeline selects the version: give {reference.op} without a selector")
    try:
        found = client.resolve(pipeline, timeout=timeout)
    except errors.NoResolution as failure:
        why = failure.resolution
        document: dict[str, Any] = {"pulled": [], "verdict": why.verdict, "conflict": why.conflict}
        return results.report_no_resolution(out, failure, document)
    versions = {version.op: version for version in found.versions}
    ops: list[str] = [reference.op for reference in references]
    for op in ops:
        if op not in versions:
            raise click.UsageError(f"{op} is not an op of the pipeline {pipeline}")
    ops = ops or [op for op, version in versions.items() if _has_bytes(out, version)]
    results.note_skipped(out, [version for version in found.skipped if version.op in ops])
    return [versions[op] for op in ops]


def select_of_lock(out: Output, client: "OpStoreClient", path: Path) -> "tuple[PipelineName, list[VersionRecord]]":
    """Return the pipeline, and the versions whose bytes the lock pins.

    Raises LockConflict if the store has other bytes for one.
    """
    lock = lock_files.read(path)
    versions = locks.records(lock.record(), client.show)
    selected = []
    for locked, version in zip(lock.versions, versions, strict=True):
        if locked.digest is not None:
            selected.append(version)
            continue
        reason = "it has no bytes" if version.digest is None else "it had no bytes when the lock was written"
        out.note(f"skipped {format_reference(version.op, version.version)}: {reason}")
    lock_files.note_other_numbers(out, lock, {version.op: version.version for version in versions})
    return lock.pipeline, selected


def _has_bytes(out: Output, version: "VersionRecord") -> bool:
    if version.digest is None:
        out.note(f"skipped {format_reference(version.op, version.version)}: it has no bytes")
    return version.digest is not None
