"""Move a store: the blobs first, then the rows, and the marker of the target goes once both were verified.

Whatever interrupts it, the source is as it was, and the same command resumes: it copies what the target has not.
"""

import shlex
from dataclasses import replace
from typing import Any

from opstore_daemon.backup.blobs import Copied
from opstore_daemon.backup.reporting import Report
from opstore_daemon.config import Config
from opstore_daemon.metadata import row_copy
from opstore_daemon.metadata.migrate import known_revisions
from opstore_daemon.migration import source as source_module
from opstore_daemon.migration import target as target_module
from opstore_daemon.migration.blobs import BlobCopy, missing
from opstore_daemon.migration.places import Places, refuse
from opstore_daemon.migration.rows import RowCopy, copied_tables
from opstore_daemon.migration.source import Facts, Source
from opstore_daemon.migration.target import Target
from opstore_daemon.protocol.backup_lines import Migrated, Planned


def migrate(
    config: Config,
    to_db: str | None,
    to_saver: str | None,
    report: Report,
    *,
    checksum: bool = False,
    dry_run: bool = False,
) -> Migrated | Planned:
    """Move the store of the settings to the database and the saver at these URLs; None: it stays where it is.

    `checksum`: read all blobs back; `dry_run`: change nothing, and return what would be moved. Raises MigrationRefused,
    TargetNotEmpty, SourceChanged, MigrationDiffers, and errors of the source and of the target.
    """
    if to_db is None and to_saver is None:
        refuse("nothing is to be moved", "give --to-db, --to-saver or both")
    old = Places(config)
    new = Places(replace(config, db_url=to_db or config.db_url, saver_url=to_saver or config.saver_url), "--to-")
    if to_db is not None:
        _ = new.database  # a URL that is none is refused first
    moved = {"new_database": to_db is not None, "new_saver": to_saver is not None}
    with (
        source_module.opened(old, writes=to_db is None and not dry_run) as source,
        target_module.opened(new, source, **moved, dry_run=dry_run) as target,
        source.database.read_for_long() as snapshot,
    ):
        facts = source.facts(snapshot)
        target.check_size(facts.largest)
        if dry_run:
            return _plan(source, target, facts, snapshot)
        return _move(source, target, facts, snapshot, report, checksum=checksum)


def _move(source: Source, target: Target, facts: Facts, snapshot: Any, report: Report, *, checksum: bool) -> Migrated:
    marker = target.begin(_command(source, target))
    assert target.saver is not None  # noqa: S101 - this is no dry run
    blobs = BlobCopy(source, target.saver, checksum=checksum)
    copied, rows, read_back = Copied(), 0, 0
    if target.moves_blobs:
        copied = blobs.copy(snapshot, facts, report, lambda: target.check(marker))
        source.check_place()
    if target.moves_rows and marker is not None:
        table_copy = RowCopy(snapshot, target.database, marker, keeps_saver=not target.moves_blobs)
        expected = table_copy.fingerprints(report)
        table_copy.copy(expected, report, is_resumed=target.is_resumed)
        rows = table_copy.verify(expected, report)
    if target.moves_blobs:
        read_back = blobs.verify(snapshot, copied, facts, report)
    source.check_position(facts.position)
    target.finish(facts.position, marker)
    return Migrated(
        **_described(source, target, facts),
        copied=copied.copied,
        copied_size=copied.copied_size,
        present=copied.present,
        present_size=copied.present_size,
        read_back=read_back,
        rows=rows,
        uploads=facts.uploads if target.moves_blobs else 0,
        missing=tuple(copied.problems),
    )


def _plan(source: Source, target: Target, facts: Facts, snapshot: Any) -> Planned:
    target.check_writable()
    count = size = rows = 0
    if target.moves_blobs:
        with source.blobs(snapshot) as wanted:
            for blob in wanted if target.saver is None or not target.is_resumed else missing(target.saver, wanted):
                count, size = count + 1, size + blob.size
    if target.moves_rows:
        tables = copied_tables(keeps_saver=not target.moves_blobs)
        rows = sum(row_copy.count(snapshot, table) for table in tables)
    return Planned(
        **_described(source, target, facts),
        dry_run=True,
        resumes=target.is_resumed,
        to_copy=count,
        to_copy_size=size,
        rows=rows,
    )


def _described(source: Source, target: Target, facts: Facts) -> dict[str, Any]:
    return {
        **{name: getattr(facts, name) for name in ("position", "ops", "versions", "stored", "blobs", "blobs_size")},
        "store_id": source.store_id,
        "schema": known_revisions()[-1],
        "from_db": source.places.database_url,
        "from_saver": source.places.saver_url,
        "db": target.places.database_url if target.moves_rows else source.places.database_url,
        "saver": target.places.saver_url,
        "serve": target.places.command("serve"),
        "go_back": source.places.command("serve"),
    }


def _command(source: Source, target: Target) -> str:
    """Return the command that does this migration, without passwords."""
    words = [source.places.command("migrate")]
    if target.moves_rows:
        words.append(f"--to-db {shlex.quote(target.places.database_url)}")
    if target.moves_blobs:
        words.append(f"--to-saver {shlex.quote(target.places.saver_url)}")
    return " ".join(words)
