"""Pulls: bytes come from the daemon, are verified, and go on where the line broke. Never half a file, or folder."""

import errno
import io
import os
import stat
from collections import deque
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from http import HTTPStatus
from itertools import cycle
from pathlib import Path
from typing import BinaryIO

from opstore_cli.asking import Answer, Asking
from opstore_cli.folder_format import FOLDER_FORMAT, NoFolder
from opstore_cli.part_folder import PartFolder
from opstore_cli.partial import PartFile
from opstore_cli.patience import INTERRUPTIONS, Patience
from opstore_cli.unpacking import unpack
from opstore_cli.uploads import Progress
from opstore_daemon.protocol import errors, routes
from opstore_daemon.protocol.digests import Digest, parse_digest
from opstore_daemon.protocol.hashing import BLOCK, WAITING, Hasher
from opstore_daemon.protocol.records import VersionRecord

# Bytes up to which the daemon checks what it sends, too. Beyond, the client alone does, unless that shows damage: on a
# machine of two cores it would take as long as all the rest.
CHECKED_TWICE = 8 * 1024 * 1024


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


def to_bytes(asking: Asking, record: VersionRecord, progress: Progress) -> bytes:
    """The verified bytes."""
    buffer = io.BytesIO()
    with Hasher() as hasher:
        for piece in _pieces(asking, record, 0, progress):
            hasher.update(piece)
            buffer.write(piece)
        _check(hasher, _stored(record)[0])
    return buffer.getvalue()


def to_stream(asking: Asking, record: VersionRecord, output: BinaryIO, progress: Progress) -> None:
    """Writes the bytes; the last of them when all are verified. BrokenPipeError comes through as it is."""
    held: bytes | memoryview = b""
    with Hasher() as hasher, closing(_pieces(asking, record, 0, progress)) as pieces:
        for piece in pieces:
            hasher.update(piece)
            _write(output, held)
            held = piece
        _check(hasher, _stored(record)[0])
    _write(output, held)
    _flush(output)


def to_path(asking: Asking, record: VersionRecord, target: Path, overwrite: bool, progress: Progress) -> None:
    """Makes the version that file or, where it is one, that folder."""
    check_output(record, target, overwrite)
    try:
        if is_folder(record):
            _to_folder(asking, record, target, overwrite, progress)
        else:
            _to_file(asking, record, target, overwrite, progress)
    except FileExistsError:
        raise errors.OutputExists(path=str(target)) from None
    except OSError as error:
        raise errors.OutputFailed(path=str(target), reason=error.strerror or str(error)) from error


def _to_file(asking: Asking, record: VersionRecord, target: Path, overwrite: bool, progress: Progress) -> None:
    """Writes the bytes to a hidden file beside the target, and makes it the target when all are verified.

    After a lost connection, or a kill, that file stays, and the next pull goes on with it.
    """
    digest, _ = _stored(record)
    with PartFile.beside(target, digest) as part:
        try:
            _fill(part, asking, record, progress)
            part.publish(target, overwrite)
        except (errors.Unreachable, KeyboardInterrupt):
            if part.size() == 0:
                part.remove()
            raise
        except BaseException:
            part.remove()
            raise


def _to_folder(asking: Asking, record: VersionRecord, target: Path, overwrite: bool, progress: Progress) -> None:
    """Unpacks the bytes into a hidden folder beside the target, and makes it the target when all are verified.

    Of a pull that broke off nothing stays: what was unpacked is not the stream that the rest would be added to.
    """
    digest, _ = _stored(record)
    with PartFolder.beside(target, digest) as part:
        with Hasher() as hasher, closing(_pieces(asking, record, 0, progress)) as pieces:
            hashed = _hashed(pieces, hasher)
            try:
                unpack(hashed, part.path, target)
            except NoFolder as error:
                # Bytes that were damaged on their way make no folder either, and then that is the news.
                deque(hashed, maxlen=0)
                _check(hasher, digest)
                raise errors.FolderRefused(op=record.op, number=record.number, reason=str(error)) from None
            _check(hasher, digest)
        part.publish(target, overwrite)


def _hashed(pieces: Iterator[bytes | memoryview], hasher: Hasher) -> Iterator[bytes]:
    for piece in pieces:
        hasher.update(piece)
        yield bytes(piece)


def _fill(part: PartFile, asking: Asking, record: VersionRecord, progress: Progress) -> None:
    size = _stored(record)[1]
    left, unchecked = part.size(), size > CHECKED_TWICE
    try:
        _go_on(part, asking, record, progress, unchecked=unchecked)
    except errors.IntegrityFailure:
        if left == 0 and not unchecked:
            raise
        # What the earlier process left may be at fault (a crash of the machine): from the start, once. The daemon
        # says then if it is its own bytes that are damaged.
        part.empty()
        _go_on(part, asking, record, progress, unchecked=False)


def _go_on(part: PartFile, asking: Asking, record: VersionRecord, progress: Progress, *, unchecked: bool) -> None:
    digest, size = _stored(record)
    if part.size() > size:
        part.empty()
    part.rewind()
    with Hasher() as hasher:
        position = 0
        while data := part.read(BLOCK):
            hasher.update(data)
            position += len(data)
        with closing(_pieces(asking, record, position, progress, _buffers(size), unchecked=unchecked)) as pieces:
            for piece in pieces:
                hasher.update(piece)
                part.write(piece)
        _check(hasher, digest)


def _buffers(size: int) -> Iterator[memoryview]:
    """Where pieces are read to by turns: a hasher may still be at those of the last few turns."""
    return cycle([memoryview(bytearray(min(BLOCK, size))) for _ in range(WAITING + 2)])


def _pieces(
    asking: Asking,
    record: VersionRecord,
    first: int,
    progress: Progress,
    buffers: Iterator[memoryview] | None = None,
    *,
    unchecked: bool = False,
) -> Generator[bytes | memoryview, None, None]:
    """The bytes from `first` on, in order, over as many connections as it takes. They are not yet verified.

    `unchecked`: the daemon need not, either. Where there are `buffers`, a piece is good until they come round again.
    """
    digest, size = _stored(record)
    path = routes.path(routes.BYTES, op=record.op, selector=record.number)
    position, patience = first, Patience(first)
    progress(position, size)
    while position < size:
        failure: errors.OpStoreError = errors.ConnectionLost(
            url=asking.transport.address, reason="the answer broke off"
        )
        try:
            with asking.fetch(path, position, f'"{digest}"', part=unchecked) as answer:
                skip = _check_answer(answer, digest, position)
                for piece in answer.pieces(buffers):
                    wanted, skip = piece[skip:], max(skip - len(piece), 0)
                    if position + len(wanted) > size:
                        raise errors.SizeMismatch(actual=f"more than {size}", expected=size)
                    if wanted:
                        position += len(wanted)
                        yield wanted
                        progress(position, size)
        except INTERRUPTIONS as interruption:
            failure = interruption
        if position < size and not patience.got_to(position):
            patience.wait(failure)


def _check_answer(answer: Answer, digest: Digest, position: int) -> int:
    """How many bytes of the answer to skip; raises where it is of other bytes than were asked for."""
    etag = answer.header("ETag")
    if etag != f'"{digest}"':
        raise errors.DigestMismatch(actual=etag or "unknown", expected=digest)
    if answer.status == HTTPStatus.OK:
        return position  # the whole, where only the rest was asked for: something in between knows no ranges
    if not answer.header("Content-Range").startswith(f"bytes {position}-"):
        raise errors.DigestMismatch(actual="unknown, of another range", expected=digest)
    return 0


def _stored(record: VersionRecord) -> tuple[Digest, int]:
    if record.digest is None or record.size is None:
        raise errors.NotStored(op=record.op, number=record.number)
    return parse_digest(record.digest), record.size


def _check(hasher: Hasher, expected: Digest) -> None:
    actual = hasher.digest()
    if actual != expected:
        raise errors.DigestMismatch(actual=actual, expected=expected)


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
