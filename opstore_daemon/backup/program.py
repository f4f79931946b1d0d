"""`python -m opstore_daemon backup` and `restore`: report lines of JSON for `opstore`, or text for everybody else."""

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from opstore_daemon.backup.creation import back_up
from opstore_daemon.backup.reporting import Report, count_of
from opstore_daemon.backup.restoration import restore as restore_backup
from opstore_daemon.backup.throttle import Throttle
from opstore_daemon.backup.verification import check as check_backup
from opstore_daemon.config import load
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.backup_lines import (
    BackedUp,
    Checked,
    Failed,
    Line,
    Migrated,
    Moved,
    Planned,
    Problem,
    Restored,
    Result,
)
from opstore_daemon.protocol.sizes import format_size
from opstore_daemon.system.stray_bytes import escape_stray_bytes


def backup(
    environ: Mapping[str, str],
    db: str | None,
    saver: str | None,
    folder: Path,
    *,
    check: bool,
    checksum: bool,
    prune: bool,
    lines: bool,
) -> None:
    """Make or check a backup, and print its result. Raises errors of opstore; with `lines`, prints them and exits."""

    def work(report: Report) -> Result:
        if check:
            return check_backup(folder, report)
        return back_up(load(environ, db, saver), folder, report, checksum=checksum, prune=prune)

    run(work, lines)


def restore(
    environ: Mapping[str, str],
    db: str | None,
    saver: str | None,
    folder: Path,
    *,
    clone: bool,
    partial: bool,
    lines: bool,
) -> None:
    """Restore a backup, and print the result. Raises errors of opstore; with `lines`, prints them and exits."""
    options = [f"{name}={url}" for name, url in (("--db", db), ("--saver", saver)) if url is not None]
    options += [name for name, is_given in (("--clone", clone), ("--partial", partial)) if is_given]

    def work(report: Report) -> Result:
        settings = load(environ, db, saver)
        return restore_backup(settings, folder, report, clone=clone, partial=partial, options=tuple(options))

    run(work, lines)


def run(work: Callable[[Report], Result], lines: bool) -> None:
    """Do the work and print its result. Raises errors of opstore; with `lines`, prints them and exits."""
    os.umask(0o077)
    if not lines:
        result = work(_print_problem)
        sys.stdout.write(f"{_sentence(result)}\n")
        _raise_problems(result)
        return
    throttle = Throttle(_print_line)
    try:
        result = work(throttle)
        _print_line(result)
        _raise_problems(result)
    except errors.OpStoreError as error:
        details = {name: _plain(value) for name, value in error.details.items()}
        _print_line(
            Failed(
                code=error.code,
                status=error.status,
                text=escape_stray_bytes(error.text),
                hint=escape_stray_bytes(error.advice),
                details=details,
            )
        )
        sys.stdout.flush()
        sys.exit(error.exit_code)


def _plain(value: object) -> object:
    """Return the value as JSON can represent it: paths may have bytes that are not UTF-8."""
    return value if value is None or isinstance(value, bool | int | float) else escape_stray_bytes(str(value))


def _raise_problems(result: Result) -> None:
    """Raise the error of a backup that is not whole, once its result was printed."""
    match result:
        case BackedUp(missing=missing) if missing:
            raise errors.BackupIncomplete(count=len(missing), total=result.blobs)
        case Checked(problems=problems) if problems:
            reason = f"{len(problems)} of {count_of(result.blobs, 'blob')} are not intact"
            advice = "opstore backup --checksum DIR copies them again, if the store has them"
            raise errors.BackupDamaged(folder=result.folder, reason=reason, advice=advice)
        case Migrated(missing=missing) if missing:
            raise errors.MigrationIncomplete(count=len(missing), total=result.blobs)


def _print_line(line: Line) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(line) + b"\n")
    sys.stdout.buffer.flush()


def _print_problem(line: Moved | Problem) -> None:
    if isinstance(line, Problem):
        sys.stderr.write(f"warning: {line}\n")


def _sentence(result: Result) -> str:
    what = f"the store {result.store_id} at position {result.position}"
    blobs = f"{count_of(result.versions, 'version')}, {count_of(result.blobs, 'blob')}"
    match result:
        case BackedUp():
            copied = f"{result.copied} copied ({format_size(result.copied_size)})"
            return f"backed up {what} to {result.folder}: {blobs}, {copied}, {result.present} were there already"
        case Checked():
            return f"the backup of {what} in {result.folder} was read: {blobs}"
        case Restored():
            return f"restored {what} into {result.home}: {blobs}"
        case Planned():
            copied = f"{result.to_copy} to copy ({format_size(result.to_copy_size)})"
            return f"{what} can be moved to {result.db} and {result.saver}: {blobs}, {copied}"
        case Migrated():
            copied = f"{result.copied} copied ({format_size(result.copied_size)})"
            moved = f"moved {what} to {result.db} and {result.saver}: {blobs}, {copied}"
            return f"{moved}\nstart: {result.serve}\ngo back: {result.go_back}"
