"""Which versions a pull is of: what is valid for some ops, what a pipeline's resolution has, what a lock holds."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from opstore_cli import lockfile
from opstore_cli.console import results
from opstore_cli.output.cells import format_reference
from opstore_cli.output.document import Output
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.references import Reference

if TYPE_CHECKING:
    from opstore_cli.client.client import OpStoreClient
    from opstore_daemon.protocol.records import VersionRecord


def valid_for(
    out: Output, client: "OpStoreClient", references: Sequence[str], downstreams: Sequence[str]
) -> "list[VersionRecord] | int":
    """The newest versions that are valid for all of these; the exit code where there is none."""
    picked = []
    for reference in references:
        found = client.versions(reference, valid_for=downstreams, limit=1)
        results.name_passed_over(out, found.skipped)
        if not found.versions:
            document: dict[str, Any] = {"pulled": [], "verdict": found.verdict, "skipped": found.skipped}
            return results.nothing_left(out, found.op, " and ".join(downstreams), found.verdict, document)
        picked.append(found.versions[0])
    return picked


def of_pipeline(
    out: Output, client: "OpStoreClient", references: Sequence[str], pipeline: str
) -> "list[VersionRecord] | int":
    """The versions that the resolution has: of these ops, or of all with bytes; the exit code where it has none."""
    asked = [Reference.parse(reference) for reference in references]
    for reference in asked:
        if not reference.bare:
            raise click.UsageError(f"--pipeline picks the version: give {reference.op} alone")
    found = client.resolve(pipeline)
    if not found.versions:
        return results.no_set(out, found, {"pulled": [], "verdict": found.verdict, "conflict": found.conflict})
    versions = {version.op: version for version in found.versions}
    for reference in asked:
        if reference.op not in versions:
            raise click.UsageError(f"{reference.op} is no op of the pipeline {pipeline}")
    wanted: list[str] = [reference.op for reference in asked] or [
        op for op in versions if _has_bytes(out, versions[op])
    ]
    results.name_passed_over(out, [passed for passed in found.skipped if passed.op in wanted])
    return [versions[op] for op in wanted]


def of_lock(out: Output, client: "OpStoreClient", path: Path) -> "list[VersionRecord]":
    """The versions of the lock that have bytes; raises VersionConflict where the store has others under their name."""
    picked = []
    for locked in lockfile.read(path).versions:
        version = client.show(locked.reference)
        if locked.digest is None:
            _has_bytes(out, version)
        elif version.digest != locked.digest or locked.size not in (None, version.size):
            raise errors.LockConflict(
                path=str(path), name=format_reference(locked.op, locked.version), digest=locked.digest
            )
        else:
            picked.append(version)
    return picked


def _has_bytes(out: Output, version: "VersionRecord") -> bool:
    if version.digest is None:
        out.note(f"{format_reference(version.op, version.version)} has no bytes: it is left out")
    return version.digest is not None
