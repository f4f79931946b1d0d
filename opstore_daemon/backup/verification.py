"""Check a backup: read all of its bytes, and compare them with the manifest. Needs no store and writes nothing."""

from pathlib import Path

from opstore_daemon.backup import database_copy, files
from opstore_daemon.backup.blobs import Damaged, counted, pieces_of, verified
from opstore_daemon.backup.folder import BackupFolder
from opstore_daemon.backup.manifest import Manifest
from opstore_daemon.backup.reporting import Report, Step, count_of
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.backup_lines import Checked, Problem
from opstore_daemon.protocol.digests import PREFIX

AGAIN = "copy it from where it is intact, or make the backup again"


def check(path: Path, report: Report) -> Checked:
    """Read the whole backup in the folder, and report every blob that is not intact.

    Raises BackupNotFound, BackupInUse, BackupDamaged for a manifest or a database that is not intact, and errors of
    the folder.
    """
    folder = BackupFolder.existing(path)
    with folder.reading():
        manifest = folder.require_manifest()
        database = verified_database(folder, manifest, folder.path / manifest.database.name)
        problems = _check_blobs(folder, manifest, database, report)
    return Checked(**folder.describe(manifest), intact=not problems, problems=tuple(problems))


def verified_database(folder: BackupFolder, manifest: Manifest, copy: Path) -> Path:
    """Return the copy of the database if it is the one of the manifest and intact; raise BackupDamaged, SchemaTooNew.

    `copy` is where it is: in the folder, or in the home that it is restored into.
    """
    with files.translated(folder.path):
        try:
            found = files.sha256_of(files.pieces_of(copy))
        except FileNotFoundError:
            raise damaged(folder, f"{copy.name} is missing") from None
    if found != manifest.database.sha256:
        raise damaged(folder, f"{manifest.database.name} has another SHA-256 than the manifest")
    try:
        with database_copy.translated(copy), database_copy.opened_copy(copy) as connection:
            facts, wrong = database_copy.facts(connection, copy), database_copy.what_is_wrong(connection)
    except errors.DatabaseDamaged as error:
        raise damaged(folder, f"{manifest.database.name}: {error.details['reason']}") from error
    if wrong is None and (facts.store_id, facts.position) != (manifest.store_id, manifest.position):
        wrong = "it is not the database that the manifest describes"
    if wrong is not None:
        raise damaged(folder, f"{manifest.database.name}: {wrong}")
    return copy


def damaged(folder: BackupFolder, reason: str) -> errors.BackupDamaged:
    """Return the error for a backup that is not intact."""
    return errors.BackupDamaged(folder=str(folder.path), reason=reason, advice=AGAIN)


def _check_blobs(folder: BackupFolder, manifest: Manifest, database: Path, report: Report) -> list[Problem]:
    problems, missing = [], {blob.digest: blob.problem for blob in manifest.missing}
    with database_copy.translated(database), database_copy.opened_copy(database) as connection:
        step = Step(report, f"checking {count_of(manifest.blobs, 'blob')}", manifest.blobs_size)
        for _, blobs in database_copy.blobs(connection, database):
            for hex_digits, size in blobs:
                try:
                    with files.translated(folder.path):
                        for _ in counted(verified(pieces_of(folder, hex_digits), hex_digits, size), step):
                            pass
                except Damaged as damage:
                    in_store = missing.get(PREFIX + hex_digits)
                    words = f"{damage}" if in_store is None else f"{in_store} (already in the store)"
                    problems.append(database_copy.problem(connection, hex_digits, words))
                    report(problems[-1])
    return problems
