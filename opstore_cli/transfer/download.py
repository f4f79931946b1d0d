"""Pulls: bytes come from the daemon, are verified, and go on where the line broke. Never half a file, or folder."""

import errno
import io
import os
import stat
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO

from opstore_cli.files.part_file import PartFile
from opstore_cli.files.part_folder import PartFolder
from opstore_cli.folders.tar_format import FOLDER_FORMAT, NoFolder
from opstore_cli.folders.unpacking import Unpacked, unpack
from opstore_cli.transfer.hashing import Hasher
from opstore_cli.transfer.resume_state import NOTED_FROM, HeldNote, Note, spelled
from opstore_cli.transfer.retry import INTERRUPTIONS, Patience
from opstore_cli.transfer.upload import Progress
from opstore_cli.transport.api import ApiClient, ApiResponse
from opstore_daemon.protocol import errors, routes
from opstore_daemon.protocol.digests import Digest, parse_digest
from opstore_daemon.protocol.limits import READ_SIZE
from opstore_daemon.protocol.records import VersionRecord

# Pieces that a file's bytes may be ahead of their hash: more than by default, since what brings them comes in bursts
# (measured: a tenth less time for a pull).
AHEAD = 16


def is_folder(record: VersionRecord) -> bool:
    """Whether it is unpacked where it is written to a path."""
    return record.format == FOLDER_FORMAT


def check_place(target: Path, overwrite: bool) -> None:
    """Raises OutputExists or FileRefused where no version could be written, before the daemon is asked for one."""
    if not target.name or target.name == "..":
        raise errors.FileRefused(path=str(target), reason="it is a folder")
    if not os.path.isdir(target.parent):
        raise errors.FileRefused(path=str(target), reason=f"there is no folder {target.parent}")
    if os.path.lexists(target) and not os.path.isdir(target):
        if not overwrite:
            raise errors.OutputExists(path=str(target))
        # Replacing a device or a pipe would take it away from everybody.
        if os.path.exists(target) and not stat.S_ISREG(os.stat(target).st_mode):
            raise errors.FileRefused(path=str(target), reason="it is no regular file")


def check_output(record: VersionRecord, target: Path, overwrite: bool) -> None:
    """Raises OutputExists or FileRefused where this version could not be written, before its bytes are asked for."""
    check_place(target, overwrite)
    if not os.path.isdir(target):
        return
    if not is_folder(record):
        raise errors.FileRefused(path=str(target), reason="it is a folder")
    if not overwrite:
        raise errors.OutputExists(path=str(target))
    if not target.is_symlink() and _holds_working_folder(target):
        raise errors.FileRefused(path=str(target), reason="the working folder is in it")


def _holds_working_folder(target: Path) -> bool:
    try:
        return Path.cwd().resolve().is_relative_to(target.resolve())
    except OSError:
        return False  # the working folder is gone


@contextmanager
def start_pull(
    api: ApiClient,
    op: str,
    selector: str,
    progress: Progress,
    home: Path | None = None,
    *,
    client_verifies: bool = False,
    resume: bool = False,
    expected: VersionRecord | None = None,
) -> Generator["Pull", None, None]:
    """The pull of a version: one request for its bytes, whose answer says which version it is.

    `client_verifies`: the daemon need not compare the bytes with their digest as well, which on a machine of two cores
    takes as long as all the rest. They are asked for again, and checked, where they turn out to be wrong here:
    for what goes to a path. `resume`: some of them may be here already, so it is asked first which they are.
    `expected`: no other version is taken. Raises NotStored and UnexpectedResponse.
    """
    if resume:
        record = api.version(op, selector)
        if expected is not None:
            api.check_same(record, expected)
        yield Pull(api, record, None, progress, home)
        return
    with api.fetch(routes.path(routes.BYTES, op=op, selector=selector), 0, part=client_verifies) as answer:
        record = api.record_from_headers(answer, op, selector)
        if expected is not None:
            api.check_same(record, expected)
        yield Pull(api, record, answer, progress, home)


class Pull:
    """A version whose bytes are on their way, to be taken once."""

    def __init__(
        self, api: ApiClient, record: VersionRecord, answer: ApiResponse | None, progress: Progress, home: Path | None
    ) -> None:
        self.record = record
        self._api = api
        self._answer = answer
        self._progress = progress
        self._home = home
        self._digest, self._size = _stored(record)

    def to_bytes(self) -> bytes:
        """The verified bytes."""
        buffer = io.BytesIO()
        with Hasher() as hasher:
            for piece in self._pieces(0):
                hasher.update(piece)
                buffer.write(piece)
            self._check(hasher)
        return buffer.getvalue()

    def to_stream(self, output: BinaryIO) -> None:
        """Writes the bytes; the last of them when all are verified. BrokenPipeError comes through as it is."""
        held: bytes | memoryview = b""
        with Hasher() as hasher, closing(self._pieces(0)) as pieces:
            for piece in pieces:
                hasher.update(piece)
                _write(output, held)
                held = piece
            self._check(hasher)
        _write(output, held)
        _flush(output)

    def to_path(self, target: Path, overwrite: bool) -> None:
        """Makes the version that file or, where it is one, that folder.

        The bytes are written to a hidden file or folder beside it, which becomes the target when all are verified.
        After a lost connection, or a kill, that stays, and the next pull goes on with it.
        """
        check_output(self.record, target, overwrite)
        try:
            if is_folder(self.record):
                self._to_folder(target, overwrite)
            else:
                self._to_file(target, overwrite)
        except FileExistsError:
            raise errors.OutputExists(path=str(target)) from None
        except OSError as error:
            raise errors.OutputFailed(path=str(target), reason=error.strerror or str(error)) from error

    def _to_file(self, target: Path, overwrite: bool) -> None:
        with PartFile.beside(target, self._digest) as part, self._noting(target, part.path), _leaving(part):
            try:
                self._fill(part, unchecked=True)
            except errors.IntegrityFailure:
                # What an earlier process left may be at fault (a crash of the machine), or the line: from the
                # start, once, and checked by the daemon too.
                part.empty()
                self._fill(part, unchecked=False)
            part.publish(target, overwrite)

    def _fill(self, part: PartFile, *, unchecked: bool) -> None:
        if part.size() > self._size:
            part.empty()
        if not part.is_empty():
            self._let_go()
        part.rewind()
        with Hasher(AHEAD) as hasher:
            position = 0
            while data := part.read(READ_SIZE):
                hasher.update(data)
                position += len(data)
            with closing(self._pieces(position, hasher.buffers(self._size), unchecked=unchecked)) as pieces:
                for piece in pieces:
                    hasher.update(piece)
                    part.write(piece)
            self._check(hasher)

    def _to_folder(self, target: Path, overwrite: bool) -> None:
        with PartFolder.beside(target, self._digest) as part, self._noting(target, part.path), _leaving(part):
            try:
                self._unpack(part, target, unchecked=True)
            except errors.IntegrityFailure:
                part.empty()
                self._unpack(part, target, unchecked=False)
            part.publish(target, overwrite)

    def _unpack(self, part: PartFolder, target: Path, *, unchecked: bool) -> None:
        with Hasher() as hasher, closing(Unpacked.of(part.path)) as there:
            if there.size > self._size:
                raise errors.SizeMismatch(actual=there.size, expected=self._size)
            if there.size:
                self._let_go()
            for piece in there.pieces():
                hasher.update(piece)
            half = there.half()
            with closing(_Rest(lambda first: self._pieces(first, unchecked=unchecked), there.size, hasher)) as rest:
                try:
                    unpack(rest, part.path, target, there.entries, half, rest.skip)
                except NoFolder as error:
                    # Bytes that were damaged on their way make no folder either, and then that is the news.
                    deque(rest, maxlen=0)
                    self._check(hasher)
                    reason = str(error)
                    raise errors.FolderRefused(op=self.record.op, version=self.record.version, reason=reason) from None
                self._check(hasher)

    @contextmanager
    def _noting(self, target: Path, part: Path) -> Iterator[None]:
        """There is a note about this pull as long as it is not done, and not over for good."""
        if self._home is None or self._size < NOTED_FROM:
            yield
            return
        with HeldNote.take(self._home, "pull", os.path.abspath(part)) as note:
            if note is not None:
                version = f"{self.record.op}@{self.record.version}"
                path, hidden = spelled(str(target)), spelled(str(part))
                daemon = self._api.transport.identity
                told = Note(way="pull", daemon=daemon, path=path, size=self._size, version=version, part=hidden)
                note.write(told)
            try:
                yield
            finally:
                if note is not None and not os.path.lexists(part):
                    note.remove()

    def _check(self, hasher: Hasher) -> None:
        actual = hasher.digest()
        if actual != self._digest:
            raise errors.DigestMismatch(actual=actual, expected=self._digest)

    def _pieces(
        self, first: int, buffers: Iterator[memoryview] | None = None, *, unchecked: bool = False
    ) -> Generator[bytes | memoryview, None, None]:
        """The bytes from `first` on, in order, over as many connections as it takes. They are not yet verified.

        Where there are `buffers`, a piece is good until they come round again.
        """
        position, patience = first, Patience(first)
        self._progress(position, self._size)
        while position < self._size:
            failure: errors.OpStoreError = errors.ConnectionLost(
                url=self._api.transport.address, reason="the answer broke off"
            )
            try:
                with self._bytes_from(position, unchecked=unchecked) as answer:
                    skip = self._check_answer(answer, position)
                    for piece in answer.pieces(buffers):
                        wanted, skip = piece[skip:], max(skip - len(piece), 0)
                        if position + len(wanted) > self._size:
                            raise errors.SizeMismatch(actual=f"more than {self._size}", expected=self._size)
                        if wanted:
                            position += len(wanted)
                            yield wanted
                            self._progress(position, self._size)
            except INTERRUPTIONS as interruption:
                failure = interruption
            if position < self._size and not patience.got_to(position):
                patience.wait(failure)

    def _let_go(self) -> None:
        """The answer from the start on is not the one that is wanted."""
        if self._answer is not None:
            self._answer.close()
            self._answer = None

    @contextmanager
    def _bytes_from(self, position: int, *, unchecked: bool) -> Iterator[ApiResponse]:
        """The answer that is there already, once, or another one."""
        begun, self._answer = self._answer, None
        if begun is not None:
            yield begun
            return
        path = routes.path(routes.BYTES, op=self.record.op, selector=self.record.version)
        with self._api.fetch(path, position, f'"{self._digest}"', part=unchecked) as answer:
            yield answer

    def _check_answer(self, answer: ApiResponse, position: int) -> int:
        """How many bytes of the answer to skip; raises where it is of other bytes than were asked for."""
        etag = answer.header("ETag")
        if etag != f'"{self._digest}"':
            raise errors.DigestMismatch(actual=etag or "unknown", expected=self._digest)
        if answer.status == HTTPStatus.OK:
            return position  # the whole, where only the rest was asked for: something in between knows no ranges
        if not answer.header("Content-Range").startswith(f"bytes {position}-"):
            raise errors.DigestMismatch(actual="unknown, of another range", expected=self._digest)
        return 0


@contextmanager
def _leaving(part: PartFile | PartFolder) -> Iterator[None]:
    """What ends early leaves the part to the next pull, if there is anything in it; what fails for good does not."""
    try:
        yield
    except (errors.Unreachable, KeyboardInterrupt):
        if part.is_empty():
            part.remove()
        raise
    except BaseException:
        part.remove()
        raise


class _Rest(Iterator[bytes]):
    """The bytes from a place on, hashed as they come."""

    def __init__(
        self, from_: Callable[[int], Generator[bytes | memoryview, None, None]], first: int, hasher: Hasher
    ) -> None:
        self._from, self._position, self._hasher = from_, first, hasher
        self._pieces = from_(first)

    def __next__(self) -> bytes:
        piece = bytes(next(self._pieces))
        self._hasher.update(piece)
        self._position += len(piece)
        return piece

    def skip(self, instead: Iterator[bytes]) -> None:
        """Goes on behind these, which are the next ones."""
        self._pieces.close()
        for piece in instead:
            self._hasher.update(piece)
            self._position += len(piece)
        self._pieces = self._from(self._position)

    def close(self) -> None:
        """No more is wanted."""
        self._pieces.close()


def _stored(record: VersionRecord) -> tuple[Digest, int]:
    if record.digest is None or record.size is None:
        raise errors.NotStored(op=record.op, version=record.version)
    return parse_digest(record.digest), record.size


def _write(output: BinaryIO, data: bytes | memoryview) -> None:
    view = memoryview(data)
    with _naming(output):
        while view:
            written: int | None = output.write(view)
            if written is None and isinstance(output, io.RawIOBase):
                raise OSError(errno.EAGAIN, "it is not blocking, and full")
            # Writers of other makes often say nothing, and have written all of it.
            view = view[len(view) if written is None else written :]


def _flush(output: BinaryIO) -> None:
    with _naming(output):
        output.flush()


@contextmanager
def _naming(output: BinaryIO) -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        name = getattr(output, "name", None)
        shown = name if isinstance(name, str) else "the output"  # a number, where a descriptor was opened
        raise errors.OutputFailed(path=shown, reason=error.strerror or str(error)) from error
