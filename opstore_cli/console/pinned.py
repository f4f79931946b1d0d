"""Find what the lock of the working tree pins of what is to be removed."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from opstore_cli import lockfile
from opstore_cli.config.settings import working_folder
from opstore_cli.config.working_tree import find_lock
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.references import Reference

if TYPE_CHECKING:
    from opstore_cli.client.client import OpStoreClient


def pinned_by_lock(
    client: "OpStoreClient", references: Sequence[Reference], *, all_versions: bool, force: bool
) -> Iterator[str]:
    """Yield a warning for each version that the nearest opstore.lock pins and the removal would remove.

    Nothing without `force` if something needs a version: then nothing is removed.

    A lock names versions by their subversions, so one of another store warns only of versions that are in this one too.
    """
    path = find_lock(working_folder())
    if path is None:
        return
    try:
        lock = lockfile.read(path)
    except errors.FileRefused as error:
        yield f"{error.text}, so it may pin what is to be removed"
        return
    ops = {reference.op for reference in references}
    pinned = [each.reference for each in lock.versions if each.op in ops]
    if not pinned:
        return
    found = {str(version): path for reference in pinned for version in _version(client, reference)}
    if found:
        removal = client.remove(references, all_versions=all_versions, dry_run=True)
        for version in map(str, removal.removed if force or not removal.broken_count else ()):
            if version in found:
                yield f"{_shown(path)} pins {version}: opstore pull --lock fails without it"


def _version(client: "OpStoreClient", reference: Reference) -> list[str]:
    """Return the version that the lock pins, or nothing if the store does not have it."""
    try:
        found = client.show(reference)
    except errors.NotFound:
        return []
    return [f"{found.op}@{found.version}"]


def _shown(path: Path) -> str:
    folder = working_folder()
    return path.name if path.parent == folder else str(path)
