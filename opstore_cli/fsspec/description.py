"""What the file system says of a version, or of a file in a folder: the dictionary of `info` and `ls`."""

from typing import Any

from opstore_cli.folders.members import ROOT, Member
from opstore_daemon.protocol.folder_format import FOLDER
from opstore_daemon.protocol.records import VersionRecord


def root_of(version: VersionRecord) -> Member | None:
    """Return the root of a version that is a folder, else None."""
    return ROOT if version.is_folder else None


def describe(path: str, version: VersionRecord, member: Member | None) -> dict[str, Any]:
    """Return the description of a version, or of a member of it.

    `digest` is that of the version, also for a file in it, whose path there is `member`.
    """
    is_folder = member is not None and member.entry.kind == FOLDER
    registered = version.registered_at.timestamp()
    described = {
        "name": path,
        "size": 0 if is_folder else version.size if member is None else member.entry.size,
        "type": "directory" if is_folder else "file",
        "created": registered,
        "mtime": registered,
        "op": version.op,
        "version": version.version,
        "digest": version.digest,
    }
    if member is not None and member.entry.path:
        described["member"] = member.entry.path.decode()
    return described
