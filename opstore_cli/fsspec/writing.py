"""A new version, written like a file: it is stored when the file is closed, and not at all if anything fails."""

import io
import logging
import sys
import warnings
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from typing import Any, NoReturn

from opstore_cli.client.arguments import CHECKS
from opstore_cli.client.mixin import parse_references
from opstore_cli.fsspec.paths import PROTOCOL
from opstore_cli.fsspec.reading import Access, observed
from opstore_cli.objects.formats import temporary_file
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.records import Pushed
from opstore_daemon.protocol.references import TagName

_log = logging.getLogger(__name__)

# The arguments of `client.push` that a file system and `open` take; `tag` is the same as `tags`.
OPTIONS = ("bump", "filename", "format", "labels", "message", "new", "tag", "tags", "valid_for", "valid_with")


def check_options(options: Mapping[str, Any], others: tuple[str, ...]) -> dict[str, Any]:
    """Return the options of a write, checked. `others` are further options that exist, for the message of the error.

    Raises InvalidRequest for any other option, and what the parsers of references and tags raise.
    """
    for name in options:
        if name not in OPTIONS:
            known = ", ".join(sorted((*OPTIONS, *others)))
            raise errors.InvalidRequest(reason=f"{PROTOCOL}:// has no option {name!r}; its options are {known}")
    checked: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    tags = [*CHECKS["tags"]("tag", checked.pop("tag", ())), *CHECKS["tags"]("tags", checked.pop("tags", ()))]
    for name, value in checked.items():
        checked[name] = CHECKS[name](name, value)
        if name in ("valid_for", "valid_with"):
            checked[name] = parse_references(checked[name])
    return {**checked, "tags": list(map(TagName.parse, tags))} if tags else checked


class OpStoreWriter(io.BufferedIOBase):
    """A file of the store, open for writing. `version` is the record of the version once it is closed.

    Nothing is stored if the file is closed because of an exception, or is never closed. Until then the bytes are in a
    temporary file, so that writers may seek.
    """

    closed = True  # until the temporary file is open
    version: Pushed | None = None
    _is_whole = False

    def __init__(self, fs: Any, path: str, op: str, options: dict[str, Any], mode: str, autocommit: bool) -> None:
        # An exception that is being handled now is no failure of what is written.
        self._handled = sys.exc_info()[1]
        self.fs, self.path, self.mode, self.autocommit = fs, path, mode, autocommit
        self._op, self._options, self._files = op, options, ExitStack()
        self._file = self._files.enter_context(temporary_file())
        self._set_closed(False)

    def writable(self) -> bool:
        return not self.closed

    seekable = writable

    def _set_closed(self, closed: bool) -> None:
        """Set `closed`. While this file is open, its methods are those of the temporary file."""
        self.closed = closed
        for name in ("write", "seek", "tell", "truncate", "flush"):
            setattr(self, name, _refuse if closed else getattr(self._file, name))

    def commit(self) -> None:
        """Store the version; in a transaction of the file system, this is at its end."""
        if self._is_whole:  # its block did not fail
            with self._files:
                self._file.seek(0)
                self.version = self.fs.client.push(self._op, self._file, **self._options)
            observed(Access(self.fs.client, self.path, self.version, is_write=True))

    def discard(self) -> None:
        """Store nothing."""
        self._set_closed(True)
        with suppress(OSError):  # what is buffered may not fit on the disk
            self._files.close()

    def close(self) -> None:
        """Store the version, unless an exception is being handled that was raised since the file was opened.

        Neither `OpenFile` of fsspec nor a text or compressed file passes an exception on to `close`.
        """
        if self.closed:
            return
        failure, handled = sys.exc_info()[1], self._handled
        self._handled = None
        if failure is not None and failure is not handled:
            self._discard_because_of(failure)
            # Logged, as the exception may end in the handler that closes the file.
            name = type(failure).__name__
            _log.warning("%s://%s: nothing was stored: it was closed while %s was handled", PROTOCOL, self.path, name)
            return
        self._set_closed(True)
        self._is_whole = True
        if self.autocommit:
            self.commit()

    def __exit__(self, kind: Any, failure: BaseException | None, trace: Any) -> None:
        if failure is not None and not self.closed:
            self._discard_because_of(failure)
        self.close()

    def _discard_because_of(self, failure: BaseException) -> None:
        self.discard()
        failure.add_note(f"{PROTOCOL}://{self.path}: nothing was stored, because the block that writes it failed")

    def _dealloc_warn(self, source: object) -> None:
        """Discard the file: a text file on it is deleted without being closed, and will close it."""
        self.__del__()

    def __del__(self) -> None:
        if not self.closed:
            self.discard()
            message = f"{PROTOCOL}://{self.path}: nothing was stored, because the file was never closed"
            warnings.warn(message, ResourceWarning, source=self, stacklevel=2)


def _refuse(*_: Any) -> NoReturn:
    raise ValueError("I/O operation on closed file.")


class CompressedWriter(io.RawIOBase):
    """A compressor that closes the file of the store, which those of Python leave to their caller."""

    def __init__(self, compressor: Any, file: OpStoreWriter) -> None:
        self._compressor, self._file = compressor, file

    @property
    def version(self) -> Pushed | None:
        """The record of the version, once the file is closed."""
        return self._file.version

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        """Compress the data."""
        return int(self._compressor.write(data))

    def close(self) -> None:
        """Store the version, unless an exception is being handled that was raised since the file was opened."""
        if not self.closed:
            self._compressor.close()
            self._file.close()
            super().close()

    def _dealloc_warn(self, source: object) -> None:
        self.__del__()

    def __del__(self) -> None:
        if "_file" in vars(self):
            self._file.__del__()
