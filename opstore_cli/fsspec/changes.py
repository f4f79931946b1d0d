"""Changes of the file system: a write adds a version, a copy to the disk is verified, anything else is refused."""

import os
from pathlib import Path
from typing import Any, NoReturn

from fsspec.callbacks import DEFAULT_CALLBACK
from fsspec.compression import compr
from fsspec.core import get_compression
from fsspec.utils import isfilelike

from opstore_cli.client.advice import notes
from opstore_cli.fsspec import paths
from opstore_cli.fsspec.reading import Access, observed
from opstore_cli.fsspec.writing import CompressedWriter, OpStoreWriter, check_options
from opstore_daemon.protocol import errors


class Changes:
    """A mixin of the file system, before AbstractFileSystem."""

    client: Any
    _options: dict[str, Any]
    _find: Any
    _strip_protocol: Any

    def open(
        self,
        path: Any,
        mode: str = "rb",
        block_size: int | None = None,
        cache_options: Any = None,
        compression: str | None = None,
        **options: Any,
    ) -> Any:
        """Open a version, or a file in a folder, for reading ('rb', 'r'), or a new version for writing ('wb', 'w').

        The options of a write are those of `client.push`: `valid_with`, `bump`, `tag` and so on.
        """
        opener = super().open  # type: ignore[misc]
        codec = get_compression(str(path), compression) if "b" in mode and "r" not in mode else None
        with notes("open()"):
            if codec is None:
                return opener(path, mode, block_size, cache_options, compression, **options)
            file = opener(path, mode, block_size, cache_options, **options)
            return CompressedWriter(compr[codec](file, mode="w"), file)

    def _target(self, path: str, options: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """Return the op that a write to the path makes a version of, and the arguments of the push."""
        op, tags = paths.parse_target(self._strip_protocol(path))
        merged = {**self._options, **check_options(options, ("cache_options", "compression", "block_size"))}
        if tags:
            merged["tags"] = [*merged.get("tags", ()), *tags]
        return op, merged

    def _open_new(self, path: str, mode: str, **options: Any) -> OpStoreWriter:
        if mode not in ("wb", "xb"):
            advice = "the modes are 'rb', 'wb' and 'xb'; a write makes a whole new version"
            raise paths.refusal(path, f"the mode {mode!r} would change a stored version, which never changes", advice)
        autocommit = options.pop("autocommit", True)
        options.pop("cache_options", None)
        op, merged = self._target(path, options)
        if mode == "xb":
            self._check_new(path)
        return OpStoreWriter(self, path, op, merged, mode, autocommit)

    def _check_new(self, path: str) -> None:
        try:
            version = self._find(self._strip_protocol(path))[0]
        except FileNotFoundError:
            return
        raise paths.noted(errors.PathExists(path=path, version=version.version))

    def get_file(self, rpath: str, lpath: Any = None, callback: Any = DEFAULT_CALLBACK, **options: Any) -> None:
        """Write a file to a local path; a version that is a file, only once all its bytes are verified."""
        version, member = self._find(self._strip_protocol(rpath))
        if member is not None or lpath is None or isfilelike(lpath):
            super().get_file(rpath, lpath, callback, **options)  # type: ignore[misc]
            return
        path = Path(lpath)
        path.parent.mkdir(parents=True, exist_ok=True)
        self.client.pull(str(version), path, overwrite=True)
        callback.set_size(version.size)
        callback.absolute_update(version.size)
        observed(Access(self.client, self._strip_protocol(rpath), version))

    def put_file(
        self, lpath: Any, rpath: str, callback: Any = DEFAULT_CALLBACK, mode: str = "overwrite", **options: Any
    ) -> None:
        """Store a local file as a version, with its name."""
        if os.path.isdir(lpath):
            advice = f"client.push({paths.parse(self._strip_protocol(rpath))[0].op!r}, {os.fspath(lpath)!r})"
            raise paths.refusal(rpath, "the files of a folder can't be stored one by one", advice)
        op, merged = self._target(rpath, options)
        if mode == "create":
            self._check_new(rpath)
        version = self.client.push(op, lpath, **merged)
        callback.set_size(version.size)
        callback.absolute_update(version.size)
        observed(Access(self.client, self._strip_protocol(rpath), version, is_write=True))

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        """Do nothing: the first version of an op creates it, and writers ask for the folder of their file."""

    def mkdir(self, path: str, create_parents: bool = True, **_: Any) -> NoReturn:
        """Raise PathRefused."""
        advice = "the first version of an op creates it; client.push(NAME, FOLDER) stores a folder"
        raise paths.refusal(path, "a folder can't be made", advice)

    def touch(self, path: str, truncate: bool = True, **_: Any) -> NoReturn:
        """Raise PathRefused."""
        raise paths.refusal(path, "an empty version is not made by touch", "client.push(NAME, b'') stores one")

    def cp_file(self, path1: str, path2: str, **_: Any) -> NoReturn:
        """Raise PathRefused."""
        raise paths.refusal(path1, "a version is not copied", _second_name(path1))

    def mv(self, path1: str, path2: str, *_: Any, **__: Any) -> NoReturn:
        """Raise PathRefused."""
        raise paths.refusal(path1, "a version keeps its name", _second_name(path1))

    def rm(self, path: Any, *_: Any, **__: Any) -> NoReturn:
        """Raise PathRefused."""
        first = paths.strip(str(path if isinstance(path, str | os.PathLike) else next(iter(path), "")))
        advice = f"client.yank({first!r}, REASON) retires a version: nobody selects it any more"
        raise paths.refusal(first, "a stored version is not deleted", advice)

    rm_file = _rm = rmdir = rm


def _second_name(path: str) -> str:
    return f"client.tag({paths.strip(str(path))!r}, TAG) gives the version a second name"
