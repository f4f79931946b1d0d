"""Transfers that broke off, or go on right now: what `status` says of them."""

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opstore_cli.output.cells import format_size, format_time
from opstore_daemon.protocol import errors

if TYPE_CHECKING:
    from opstore_cli.client.client import OpStoreClient
    from opstore_cli.transfer.resume_state import TransferState
    from opstore_daemon.protocol.records import UnfinishedUpload


def unfinished(home: Path, url: str | None, client: "OpStoreClient | None") -> list[dict[str, Any]]:
    """The transfers from and to a daemon (None: the local one) that are recorded here, and the uploads that it holds.

    Keys: `way` (`push`, `pull`), `path` (None: begun elsewhere), `version` (of a pull), `offset` and `size` in bytes
    (None: not known), `running` (None: not known), `upload` and `expires_at` (of a push). Of a folder that is pulled,
    `offset` is the bytes of its files. Without a client, or where the daemon does not say, it is what is recorded.
    """
    from opstore_cli.transfer.resume_state import recorded_transfers
    from opstore_cli.transport.target import LOCAL

    held = _uploads(client)
    found = []
    for state, running in recorded_transfers(home, url or LOCAL):
        if state.way == "pull":
            found += _of_pull(state, running)
        elif held is None:
            found.append(_of_push(state, running, None))
        elif state.upload in held:
            found.append(_of_push(state, running, held.pop(state.upload)))
    return found + [_of_push(None, None, upload) for upload in (held or {}).values()]


def _uploads(client: "OpStoreClient | None") -> "dict[str, UnfinishedUpload] | None":
    try:
        return None if client is None else {upload.upload: upload for upload in client.uploads()}
    except errors.OpStoreError:
        return None


def _of_push(state: "TransferState | None", running: bool | None, upload: "UnfinishedUpload | None") -> dict[str, Any]:
    return {
        "way": "push",
        "path": None if state is None else state.path,
        "version": None,
        "offset": None if upload is None else upload.offset,
        "size": state.size if state is not None else upload.size if upload is not None else None,
        "running": running,
        "upload": state.upload if state is not None else upload.upload if upload is not None else None,
        "expires_at": None if upload is None else format_time(upload.expires_at),
    }


def _of_pull(state: "TransferState", running: bool) -> list[dict[str, Any]]:
    offset = _bytes_in(state.part)
    if offset is None:
        return []
    told = {"way": "pull", "path": state.path, "version": state.version, "offset": offset, "size": state.size}
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
    done = "some" if offset is None else format_size(offset)
    far = f"{done} of {'what is to come' if size is None else format_size(size)}"
    if path is None:
        return f"a push from elsewhere: {far}, kept until {transfer['expires_at']}"
    of = f"{transfer['way']} of {transfer['version']} to {path}" if transfer["version"] else f"push of {path}"
    if transfer["running"]:
        return f"{of}: {far}, going on now"
    quoted = shlex.quote(path)
    command = f"pull {transfer['version']} -o {quoted}" if transfer["version"] else f"push NAME {quoted}"
    return f"{of}: {far}; opstore {command} goes on with it"
