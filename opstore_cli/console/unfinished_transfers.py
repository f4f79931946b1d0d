"""Interrupted and running transfers, as `opstore status` lists them."""

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opstore_cli.output.cells import format_time
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.sizes import format_size

if TYPE_CHECKING:
    from opstore_cli.client.client import OpStoreClient
    from opstore_cli.transfer.resume_state import TransferState
    from opstore_daemon.protocol.records import UnfinishedUpload


def list_unfinished(home: Path, url: str | None, client: "OpStoreClient | None") -> list[dict[str, Any]]:
    """List the transfers from and to a daemon (None: the local one): those recorded here, and its unfinished uploads.

    Keys: `way` (`push`, `pull`), `path` (None: started elsewhere), `version` (of a pull), `offset` and `size` in bytes
    (None: unknown), `running` (None: unknown); of a push also `upload`, `follow_links`, `exclude` and `expires_at`. For
    a pull of a folder, `offset` is the bytes of its files. Without a client, or if the daemon fails, the list has what
    is recorded here.
    """
    from opstore_cli.transfer.resume_state import recorded_transfers
    from opstore_cli.transport.target import LOCAL

    uploads = _uploads(client)
    transfers = []
    for state, running in recorded_transfers(home, url or LOCAL):
        if state.way == "pull":
            transfers += _of_pull(state, running)
        elif uploads is None:
            transfers.append(_of_push(state, running, None))
        elif state.upload in uploads:
            transfers.append(_of_push(state, running, uploads.pop(state.upload)))
    return transfers + [_of_push(None, None, upload) for upload in (uploads or {}).values()]


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
        "follow_links": state is not None and state.follow_links,
        "exclude": [] if state is None else list(state.exclude),
        "upload": state.upload if state is not None else upload.upload if upload is not None else None,
        "expires_at": None if upload is None else format_time(upload.expires_at),
    }


def _of_pull(state: "TransferState", running: bool) -> list[dict[str, Any]]:
    offset = _bytes_in(state.part)
    if offset is None:
        return []
    return [
        {
            "way": "pull",
            "path": state.path,
            "version": state.version,
            "offset": offset,
            "size": state.size,
            "running": running,
            "follow_links": False,
            "exclude": [],
            "upload": None,
            "expires_at": None,
        }
    ]


def _bytes_in(path: str) -> int | None:
    """Return the bytes of the file, or of all files in the folder; None if it does not exist."""
    try:
        if not os.path.isdir(path):
            return os.lstat(path).st_size
        return sum(os.lstat(os.path.join(root, name)).st_size for root, _, names in os.walk(path) for name in names)
    except OSError:
        return None


def describe(transfer: dict[str, Any]) -> str:
    """Return one line: the transfer, its progress, and the command that resumes it."""
    path, size, offset = transfer["path"], transfer["size"], transfer["offset"]
    done = "an unknown part" if offset is None else format_size(offset)
    progress = done if size is None else f"{done} of {format_size(size)}"
    if path is None:
        return f"push from another machine or account: {progress}, kept until {transfer['expires_at']}"
    quoted = shlex.quote(path)
    if transfer["version"]:
        title, command = f"pull of {transfer['version']} to {path}", f"opstore pull {transfer['version']} -o {quoted}"
    else:
        title, command = f"push of {path}", f"opstore push NAME {quoted}"
        command += " --follow-links" if transfer["follow_links"] else ""
        command += "".join(f" --exclude {shlex.quote(pattern)}" for pattern in transfer["exclude"])
    return f"{title}: {progress}, {'running' if transfer['running'] else f'resume with: {command}'}"
