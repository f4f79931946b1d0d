"""Record what pulls of whole pipelines wrote into a folder, so that a later pull can remove what is left of them.

The folder has a hidden file with the name and the digest of each, by pipeline. It may have come with the folder from
anywhere, so it proves little: a name is only ever one of an entry of the folder itself, and what it names is removed
only if it has that digest, which is that of bytes that the store had.
"""

import os
import re
import secrets
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Literal, Self

import msgspec

from opstore_cli.files import private
from opstore_cli.files.exclusive_rename import rename_exclusively
from opstore_cli.files.leftovers import remove_leftovers
from opstore_cli.files.part_folder import remove
from opstore_cli.transfer.output_path import contains_working_directory
from opstore_cli.transfer.source import has_bytes
from opstore_daemon.protocol import errors, records
from opstore_daemon.protocol.digests import Digest

NAME = ".opstore-pull.json"
MAX_RECORD = 1024 * 1024  # bytes

_ENTRY = re.compile(r"[a-z0-9][a-z0-9._-]{0,199}")  # an op's name and a suffix

Pulled = dict[str, Digest]  # by the name of the entry


class _Content(msgspec.Struct, forbid_unknown_fields=True):
    format: Literal[1]
    pulls: dict[str, dict[str, str]]


class PullRecord:
    """The record of one folder, which the caller has locked."""

    def __init__(self, folder: Path, pulls: dict[str, Pulled]) -> None:
        self._folder, self._pulls = folder, pulls

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Return the record of the folder; it is empty if there is none, or none that can be read."""
        try:
            if not private.is_own(os.lstat(folder / NAME)):
                return cls(folder, {})  # in a folder that others can write to, it could name this user's files
            data = private.read(folder / NAME, MAX_RECORD)
            content = msgspec.json.decode(data, type=_Content)
            pulls = {
                pipeline: {name: Digest.parse(digest) for name, digest in entries.items() if _ENTRY.fullmatch(name)}
                for pipeline, entries in content.pulls.items()
            }
        except (OSError, msgspec.DecodeError, RecursionError, errors.InvalidDigest):
            return cls(folder, {})
        return cls(folder, pulls)

    def add(self, pipeline: str, written: Mapping[str, Digest], present: Mapping[str, Digest]) -> None:
        """Record what is about to be written for the pipeline, and what a pull of another one wrote before.

        `present` is what has the right bytes already. Raises OutputFailed.
        """
        pulls = list(self._pulls.values())
        shared = {name: digest for name, digest in present.items() if any(each.get(name) == digest for each in pulls)}
        entries = self._pulls.setdefault(pipeline, {})
        new = {name: digest for name, digest in {**shared, **written}.items() if entries.get(name) != digest}
        if new:
            entries.update(new)
            self._write()

    def prune(self, pipeline: str, names: Collection[str]) -> tuple[list[Path], list[Path]]:
        """Remove what earlier pulls of the pipeline wrote under other names than these.

        Returns the paths that were removed, and those that were kept because they changed since. What another pipeline
        has there stays. Raises OutputFailed.
        """
        entries = self._pulls.get(pipeline, {})
        others = {name for other, pulled in self._pulls.items() if other != pipeline for name in pulled}
        before, removed, changed = {**entries}, [], []
        for name in sorted(set(entries) - set(names)):
            path, digest = self._folder / name, entries[name]
            remove_leftovers(self._folder, {name: digest})
            if os.path.lexists(path) and name not in others:
                if not self._remove(path, digest):
                    changed.append(path)
                    continue
                removed.append(path)
            del entries[name]
        if entries != before:
            self._write()
        return removed, changed

    def _remove(self, path: Path, digest: Digest) -> bool:
        """Remove the file or folder, if it still has the digest; return whether it did."""
        if path.is_symlink() or contains_working_directory(path) or not has_bytes(path, digest, None):
            return False
        # Under a name that nobody else writes to, and looked at again there. A kill leaves it to `remove_leftovers`.
        hidden = path.with_name(f".{path.name[: private.NAME_PREFIX]}.{digest.hex[:16]}.{secrets.token_hex(4)}.old")
        with errors.translated(OSError, to=errors.OutputFailed, path=str(path)):
            os.rename(path, hidden)
            if not has_bytes(hidden, digest, None):
                with suppress(FileExistsError):
                    _rename_back(hidden, path)
                return False
            remove(hidden)
        return True

    def _write(self) -> None:
        content = _Content(1, {pipeline: {**entries} for pipeline, entries in self._pulls.items() if entries})
        path = self._folder / NAME
        with errors.translated(OSError, to=errors.OutputFailed, path=str(path)):
            for each in self._folder.glob(f".{NAME}.*.part"):  # of a process that was killed here
                each.unlink()
            private.replace_file(path, msgspec.json.format(records.encode(content), indent=2) + b"\n")


def _rename_back(hidden: Path, path: Path) -> None:
    if hidden.is_dir():
        rename_exclusively(hidden, path)
    else:
        os.link(hidden, path)
        hidden.unlink()
