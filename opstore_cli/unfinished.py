"""Transfers that broke off, or go on right now: what `status` says of them."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opstore_cli.output import exact
from opstore_cli.progress import amount
from opstore_daemon.protocol import errors

if TYPE_CHECKING:
    from opstore_cli.client import OpStoreClient
    from opstore_cli.notes import Note
    from opstore_daemon.protocol.records import UnfinishedUpload


def unfinished(home: Path, client: "OpStoreClient | None") -> list[dict[str, Any]]:
    """The transfers that are noted here, and the uploads that the daemon holds besides; without a client the former.

    Keys: `way` (`push`, `pull`), `path` (None: begun elsewhere), `version` (of a pull), `offset` and `size` in bytes
    (None: not known), `running` (None: not known), `upload` and `expires_at` (of a push).
    """
    from opstore_cli.notes import noted

    held = {upload.upload: upload for upload in _uploads(client)}
    found = []
    for note, running in noted(home):
        if note.way == "pull":
            found += _of_pull(note, running)
        elif client is None or note.upload in held:
            found.append(_of_push(note, running, held.pop(note.upload, None)))
    return found + [_of_push(None, None, upload) for upload in held.values()]


def _uploads(client: "OpStoreClient | None") -> "Sequence[UnfinishedUpload]":
    if client is None:
        return []
    try:
        return client.uploads()
    except errors.OpStoreError:  # a token that may only read, say; there are none of its own then
        return []


def _of_push(note: "Note | None", running: bool | None, upload: "UnfinishedUpload | None") -> dict[str, Any]:
    return {
        "way": "push",
        "path": None if note is None else note.path,
        "version": None,
        "offset": None if upload is None else upload.offset,
        "size": note.size if note is not None else upload.size if upload is not None else None,
        "running": running,
        "upload": note.upload if note is not None else upload.upload if upload is not None else None,
        "expires_at": None if upload is None else exact(upload.expires_at),
    }


def _of_pull(note: "Note", running: bool) -> list[dict[str, Any]]:
    offset = _bytes_in(note.part)
    if offset is None:
        return []
    told = {"way": "pull", "path": note.path, "version": note.version, "offset": offset, "size": note.size}
    return [{**told, "running": running, "upload": None, "expires_at": None}]


def _bytes_in(path: str) -> int | None:
    """The bytes of the file, or of all files in the folder; None where it is gone."""
    try:
        if not os.path.isdir(path):
            return os.lstat(path).st_size
        return sum(os.lstat(os.path.join(root, name)).st_size for root, _, names in os.walk(path) for name in names)
    except OSError:
        return None


def in_words(transfer: dict[str, Any]) -> str:
    """What one is, how far, and the command that goes on with it."""
    path, size, offset = transfer["path"], transfer["size"], transfer["offset"]
    far = f"{'some' if offset is None else amount(offset)} of {'what is to come' if size is None else amount(size)}"
    if path is None:
        return f"a push from elsewhere: {far}, kept until {transfer['expires_at']}"
    of = f"{transfer['way']} of {transfer['version']} to {path}" if transfer["version"] else f"push of {path}"
    if transfer["running"]:
        return f"{of}: {far}, going on now"
    command = f"pull {transfer['version']} -o {path}" if transfer["version"] else f"push NAME {path}"
    return f"{of}: {far}; opstore {command} goes on with it"
