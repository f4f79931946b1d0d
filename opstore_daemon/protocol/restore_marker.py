"""The file in a home whose restore is not finished: no daemon starts there, and every message says how to finish it."""

import os
import shlex
from pathlib import Path

import msgspec

from opstore_daemon.protocol import errors
from opstore_daemon.system import files
from opstore_daemon.system.stray_bytes import escape_stray_bytes

MARKER = "restore.json"
MAX_SIZE = 64 * 1024  # bytes


class RestoreMarker(msgspec.Struct, frozen=True, kw_only=True):
    """The content of restore.json: the folder of the backup, and the words of the command that finishes the restore.

    `database` and `blobs` are where it restores to: only what is there is its own. Empty if that is unknown.
    """

    source: str
    command: tuple[str, ...]
    database: str = ""
    blobs: str = ""

    def error(self, home: Path) -> errors.RestoreUnfinished:
        """Return the error for whoever uses the home."""
        return errors.RestoreUnfinished(source=self.source, home=str(home), command=shlex.join(self.command))


def marker_of(
    source: Path, options: tuple[str, ...], *, database: Path | None = None, blobs: Path | None = None
) -> RestoreMarker:
    """Return the marker of a restore of the backup in `source` with these options, to these places."""
    folder = escape_stray_bytes(str(source))
    return RestoreMarker(
        source=folder,
        command=("opstore", "restore", *options, folder),
        database=name_of(database),
        blobs=name_of(blobs),
    )


def name_of(place: Path | None) -> str:
    """Return how a marker names the place of a database or of blobs."""
    return "" if place is None else escape_stray_bytes(os.path.realpath(place))


def read(home: Path) -> RestoreMarker | None:
    """Return the marker of the home; None if there is none. One that can't be read counts, without its details."""
    try:
        data = files.read_regular(home / MARKER, MAX_SIZE)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        data = b""
    try:
        return msgspec.json.decode(data, type=RestoreMarker)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return RestoreMarker(source="a backup", command=("opstore", "restore", "DIR"))


def check(home: Path) -> None:
    """Raise RestoreUnfinished if the home has a marker."""
    found = read(home)
    if found is not None:
        raise found.error(home)
