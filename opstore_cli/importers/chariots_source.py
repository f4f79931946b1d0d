"""A chariots op store on this machine: the content of its database, and the files with its bytes."""

import os
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import msgspec

from opstore_daemon.protocol import chariots_export, errors
from opstore_daemon.protocol.versions import Version

MODELS = "models"  # the folder of its files: MODELS/OP/VERSION


def read(db: str) -> list[chariots_export.Lines]:
    """Return the content of the database at this URL; raises the daemon program's error, or OldStoreUnreadable.

    The daemon's program reads it in a separate process, because the command line imports no database library. The URL
    may have a password, so it is not on the command line of that process.
    """
    command = [sys.executable, "-P", "-m", "opstore_daemon", "chariots-export"]
    environment = {**os.environ, "OPSTORE_DB": db}
    done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    try:
        lines: list[chariots_export.Lines] = [
            msgspec.json.decode(line, type=chariots_export.Lines) for line in done.stdout.splitlines()
        ]
    except msgspec.DecodeError as error:
        raise errors.OldStoreUnreadable(reason=str(error)) from None
    for line in lines:
        if isinstance(line, chariots_export.Failed):
            raise errors.from_wire(line.code, line.status, line.text, line.hint)
    if done.returncode != 0:
        message = done.stderr.decode(errors="replace").strip().splitlines() or [f"exit code {done.returncode}"]
        raise errors.OldStoreUnreadable(reason=message[-1])
    return lines


def names_in(lines: Iterable[chariots_export.Lines]) -> tuple[set[str], set[str]]:
    """Return the names of the ops and those of the pipelines."""
    ops: set[str] = set()
    pipelines: set[str] = set()
    for line in lines:
        match line:
            case chariots_export.Version():
                ops |= {line.op, *line.links}
            case chariots_export.Pipeline():
                pipelines.add(line.name)
                ops |= {op for pair in line.links for op in pair if op is not None}
            case chariots_export.Unreadable(what="pipeline"):
                pipelines.add(line.name)
    return ops, pipelines


class Files:
    """The files of the old op store. It lists the folders, and never builds a path from a name."""

    def __init__(self, folder: Path) -> None:
        """List the folder; raises FileRefused if it has no `models` or can't be read."""
        self._models = folder / MODELS
        if not self._models.is_dir():
            raise errors.FileRefused(
                path=str(folder), reason=f"it has no folder {MODELS}, where an op store keeps bytes"
            )
        self._by_op: dict[str, list[Path]] = {}
        self._by_version: dict[tuple[str, Version], list[Path]] = {}
        for parent, _, names in os.walk(self._models, onerror=_refuse):
            op = Path(parent).relative_to(self._models).as_posix()
            self._by_op[op] = [Path(parent, name) for name in names]
            for path in self._by_op[op]:
                with suppress(errors.InvalidSubversions):
                    self._by_version.setdefault((op, Version.parse(path.name)), []).append(path)
        self._claimed: set[Path] = set()

    def has(self, op: str) -> bool:
        """Return whether any version of the op has bytes."""
        return bool(self._by_op.get(op))

    def claim(self, op: str, version: Version) -> Path | None:
        """Return the file of the version, None if there is none; raises OldStoreUnreadable if it is ambiguous.

        The old store names a file after the version's text and time. If no file has that time, the version's only file
        is used.
        """
        found = self._by_version.get((op, version), [])
        self._claimed.update(found)
        exact = [path for path in found if path.name == version.text_with_time]
        if not exact and len(found) > 1:
            raise errors.OldStoreUnreadable(reason=f"{len(found)} files match this version, and none has its time")
        return next(iter(exact or found), None)

    def claim_all(self, op: str) -> None:
        """Mark all files of the op as claimed."""
        self._claimed.update(self._by_op.get(op, []))

    def unclaimed(self) -> list[str]:
        """Return the files that belong to no version, as paths below the folder."""
        files = (path for paths in self._by_op.values() for path in paths)
        return sorted(str(path.relative_to(self._models.parent)) for path in files if path not in self._claimed)


def _refuse(error: OSError) -> None:
    raise errors.FileRefused(path=str(error.filename), reason=errors.reason(error)) from None
