"""`opstore resolve`: find the newest versions of a pipeline that are valid for each other."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from opstore_cli.console import results
from opstore_cli.console.command import command
from opstore_cli.console.options import as_of_option, check_exclusive, timeout_option, use_option
from opstore_cli.console.parameters import OpNameType, PipelineNameType
from opstore_cli.console.session import Session
from opstore_cli.output.cells import EMPTY, Cell, size_cell
from opstore_cli.output.tables import Table
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.names import OpName, PipelineName
from opstore_daemon.protocol.reference_text import format_reference
from opstore_daemon.protocol.references import Reference

if TYPE_CHECKING:
    from opstore_cli.lockfile import LockFile
    from opstore_daemon.protocol.records import Resolution, VersionRecord
    from opstore_daemon.protocol.times import AsOf

_PATH = click.Path(path_type=Path)
_STDOUT = Path("-")


@command("resolve")
@click.argument("pipeline", required=False, type=PipelineNameType())
@use_option
@click.option(
    "--lock", metavar="FILE", type=_PATH, help="Write the versions, with their digests, to FILE (-: standard output)."
)
@click.option(
    "--upgrade", metavar="OP", type=OpNameType(), help="Move this op of the lock, and other ops only if they must."
)
@click.option("--check", metavar="FILE", type=_PATH, help="Check whether this lock still holds.")
@timeout_option
@as_of_option
def resolve(
    session: Session,
    pipeline: PipelineName | None,
    use: Sequence[Reference],
    lock: Path | None,
    upgrade: OpName | None,
    check: Path | None,
    timeout: float | None,
    as_of: "AsOf | None",
) -> int:
    """Find the newest versions of a pipeline that are valid together: one version of each op, valid on every edge.

    \b
    Examples:
      opstore resolve churn
      opstore resolve churn --lock opstore.lock
      opstore resolve churn --lock opstore.lock --upgrade pca
      opstore resolve --check opstore.lock

    Newer versions that were skipped are listed on standard error, each with the reason. If no versions are valid
    together, the exit code is 1, or 3 if that is only because links are missing.

    --lock writes the versions to a file, with their digests. With --upgrade OP, opstore moves that op of the file to
    the newest version that it can have, and moves other ops only if it must. --check reports whether a lock still
    holds; the exit code is 1 if an edge changed or is no longer valid, or if a version was yanked or removed.

    If the search takes too much work, the daemon gives up: exit code 10, with the ops that conflict most. --timeout
    makes it give up earlier.
    """
    check_exclusive(check=check, lock=lock)
    check_exclusive(check=check, use=use)
    check_exclusive(lock=lock, as_of=as_of)
    check_exclusive(check=check, as_of=as_of)
    check_exclusive(check=check, timeout=timeout is not None)
    _check_lock_option(session, lock, upgrade)
    if check is not None:
        return _check(session, pipeline, check)
    current = None
    if lock is not None and lock != _STDOUT:
        from opstore_cli import lockfile
        from opstore_cli.console import lock_files

        lockfile.check_target(lock, upgrade=upgrade is not None)
        current = lock_files.read(lock, pipeline) if upgrade is not None else None
    name = pipeline or (current.pipeline if current is not None else session.settings().pipeline)
    if name is None:
        raise click.UsageError("give a pipeline")
    pinned = None if current is None else current.record()
    try:
        found = session.client().resolve(name, use=use, lock=pinned, upgrade=upgrade, as_of=as_of, timeout=timeout)
    except errors.NoResolution as failure:
        return results.report_no_resolution(session.out, failure, failure.resolution, as_of)
    results.note_skipped(session.out, found.skipped)
    results.note_unexplained(session.out, found)
    results.warn_of_damage(session.out, found.versions)
    if lock is not None:
        _write_lock(session, lock, found, current)
    if lock == _STDOUT:
        return 0
    session.out.write_result(
        found,
        quiet=[format_reference(version.op, version.version) for version in found.versions],
        full=Table(("VERSION", "SIZE", "DIGEST"), [_row(version) for version in found.versions]),
    )
    return 0


def _check_lock_option(session: Session, lock: Path | None, upgrade: OpName | None) -> None:
    if lock == _STDOUT and session.out.json:
        raise click.UsageError("--json and --lock - both write to standard output; pass a path to --lock")
    if upgrade is not None and lock in (None, _STDOUT):
        raise click.UsageError("--upgrade needs the file of a lock: pass it with --lock")


def _row(version: "VersionRecord") -> list[Cell | str]:
    digest = Cell(version.digest or EMPTY, (version.digest or "").removeprefix("sha256:")[:12])
    return [format_reference(version.op, version.version), size_cell(version.size), digest]


def _write_lock(session: Session, path: Path, found: "Resolution", current: "LockFile | None") -> None:
    """Write or print the lock of the resolution; `current`: the lock that this is an upgrade of."""
    from opstore_cli import lockfile
    from opstore_cli.console import lock_files

    lock = lockfile.of_versions(found.pipeline, found.edges, found.versions)
    if current is not None:
        kept: dict[str, str | None] = {
            each.op: each.version for each in lock.versions if each.reference in current.references()
        }
        lock_files.note_other_numbers(session.out, current, kept)
    if path == _STDOUT:
        session.out.write_lines(lockfile.to_text(lock).splitlines())
        return
    other_names = lockfile.other_names(path)
    changed = lockfile.write(path, lock)
    session.out.note(f"wrote {path}" if changed else f"{path} is up to date")
    if changed and other_names:
        names = "other name keeps" if other_names == 1 else f"{other_names} other names keep"
        session.out.note(f"{path} was a hard link: its {names} the old lock")


def _check(session: Session, pipeline: PipelineName | None, path: Path) -> int:
    from opstore_cli.console import lock_files

    lock = lock_files.read(path, pipeline)
    found = session.client().check_lock(lock.pipeline, lock.record())
    session.out.write_result(found, quiet=[], full=found.findings)
    lock_files.note_other_numbers(session.out, lock, {each.op: each.version for each in found.versions})
    if found.holds:
        session.out.note(f"{path} holds")
        return 0
    stale = errors.LockStale(path=str(path), pipeline=lock.pipeline)
    if not session.out.json:
        session.out.error(stale)
    return stale.exit_code
