"""Pushes: bytes go to the daemon once, hashed as they are read, and go on where the line broke.

A few bytes go with the request that makes the version.
"""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from opstore_cli.asking import BLOCK, Asking, Body
from opstore_cli.partial import UploadNote
from opstore_cli.patience import INTERRUPTIONS, Patience
from opstore_cli.sources import Readable, Source, opened
from opstore_daemon.protocol import errors, routes
from opstore_daemon.protocol.digests import digest_of
from opstore_daemon.protocol.hashing import Hasher
from opstore_daemon.protocol.records import NewUpload, NewVersion, Pushed, Upload

PIECE = 4 * 1024 * 1024  # bytes that are kept until they are acknowledged, where the source can't go back
SHORTER = "it became shorter while it was read"
RESUMED_FROM = 8 * 1024 * 1024  # bytes of a file from which on a later process may go on with it

Progress = Callable[[int, int | None], None]
# What says that the bytes which an earlier process left are not the ones that belong there.
LEFT_WRONG = (errors.DigestMismatch, errors.SizeMismatch, errors.UploadNotFound)
# After these the upload is still there, and what it is for may come about later.
PASSING = (errors.Unreachable, errors.Unavailable, errors.NotAuthorised)


def push(
    asking: Asking, op: str, source: Readable, declared: NewVersion, home: Path | None, progress: Progress
) -> Pushed:
    """Sends the bytes, then makes the version that is `declared` (without upload, digest and size) of them.

    Raises FileRefused, and whatever the daemon says.
    """
    with opened(source) as file, _note(asking, op, file, home) as note:
        declared = _with_format(declared, file.format)
        if file.size is not None and file.size <= routes.SMALL:
            return _push_whole(asking, op, file, file.size, declared, progress)
        transfer = _Transfer(asking, file, note, progress)
        earlier = transfer.earlier()
        if earlier is not None:
            try:
                return transfer.push(op, declared, earlier)
            except LEFT_WRONG:
                pass
        return transfer.push(op, declared, None)


def _push_whole(asking: Asking, op: str, source: Source, size: int, declared: NewVersion, progress: Progress) -> Pushed:
    """All of it in one request, which may be repeated as a whole."""
    progress(0, size)
    data = source.read_full(size)
    if len(data) < size:
        raise source.refused(SHORTER)
    source.check_unchanged()
    version = msgspec.structs.replace(declared, digest=digest_of(data), size=size)
    pushed = asking.call("POST", routes.path(routes.VERSIONS, op=op), Pushed, body=version, data=data)
    progress(size, size)
    return pushed


def _with_format(declared: NewVersion, known: str | None) -> NewVersion:
    if known is None:
        return declared
    if declared.format not in (None, known):
        raise errors.InvalidRequest(reason=f"the format of a folder is {known}, not {declared.format}")
    return msgspec.structs.replace(declared, format=known)


@contextlib.contextmanager
def _note(asking: Asking, op: str, file: Source, home: Path | None) -> Iterator[UploadNote | None]:
    identity = file.identity
    if home is None or identity is None or file.size is None or file.size < RESUMED_FROM:
        yield None
        return
    with UploadNote.take(home, asking.transport.identity, op, *identity) as note:
        yield note


class _Transfer:
    """One push. A reader of its own hashes each byte once, whatever is sent again."""

    def __init__(self, asking: Asking, source: Source, note: UploadNote | None, progress: Progress) -> None:
        self._asking = asking
        self._source = source
        self._note = note
        self._progress = progress

    def earlier(self) -> Upload | None:
        """The upload that an earlier process left of this file, if the daemon still has it."""
        left = self._note.read() if self._note is not None else None
        if left is None:
            return None
        try:
            upload = self._ask(left)
        except (errors.NotFound, errors.Conflict, errors.Refused):
            return None
        fits = upload.size == self._source.size and self._source.size is not None
        return upload if fits and upload.offset <= (upload.size or 0) else None

    def push(self, op: str, declared: NewVersion, earlier: Upload | None) -> Pushed:
        """All of it, from where the earlier upload stands."""
        upload = earlier or self._begin()
        try:
            with Hasher() as hasher:
                size = self._send(upload, hasher)
                self._source.check_unchanged()
                version = msgspec.structs.replace(declared, upload=upload.upload, digest=hasher.digest(), size=size)
            pushed = self._asking.call("POST", routes.path(routes.VERSIONS, op=op), Pushed, body=version)
        except errors.OpStoreError as failure:
            if self._note is None or not isinstance(failure, PASSING):
                self._give_up(upload)
            raise
        self._forget()
        return pushed

    def _begin(self) -> Upload:
        upload = self._asking.call("POST", routes.UPLOADS, Upload, body=NewUpload(size=self._source.size))
        if self._note is not None:
            self._note.write(upload.upload)
        return upload

    def _give_up(self, upload: Upload) -> None:
        with contextlib.suppress(errors.OpStoreError):
            self._asking.call("DELETE", routes.path(routes.UPLOAD, upload=upload.upload), None)
        self._forget()

    def _forget(self) -> None:
        if self._note is not None:
            self._note.remove()

    def _send(self, upload: Upload, hasher: Hasher) -> int:
        """Sends what is missing; returns the size of all."""
        if self._source.size is not None:
            self._source.seek(0)  # an attempt that went wrong may have been here before
            reader = _Reader(self._source, self._source.size, hasher, self._progress)
            self._append(upload.upload, upload.offset, self._source.size, reader.stand_at)
            reader.stand_at(self._source.size)  # hashed to the end, also where an earlier process sent all of it
            return self._source.size
        sent = 0
        while piece := self._source.read_full(PIECE):
            hasher.update(piece)
            self._append(upload.upload, sent, sent + len(piece), _rest_of(piece, sent))
            sent += len(piece)
            self._progress(sent, None)
        return sent

    def _append(self, upload: str, offset: int, end: int, body_at: Callable[[int], bytes | Body]) -> None:
        """Appends the bytes from `offset` to `end`, as often as it takes."""
        patience = Patience(offset)
        start = offset
        while offset < end:
            failure: errors.OpStoreError = errors.ConnectionLost(
                url=self._asking.transport.address, reason="nothing arrived"
            )
            try:
                offset = self._asking.append(upload, offset, body_at(offset)).offset
            except INTERRUPTIONS as interruption:
                failure = interruption
                offset = self._stands_at(upload, patience, failure)
            if not start <= offset <= end:
                raise errors.OffsetMismatch(upload=upload, offset=offset, given=end) from failure
            if not patience.got_to(offset):
                patience.wait(failure)

    def _stands_at(self, upload: str, patience: Patience, failure: errors.OpStoreError) -> int:
        while True:
            try:
                return self._ask(upload).offset
            except INTERRUPTIONS:
                patience.wait(failure)

    def _ask(self, upload: str) -> Upload:
        """How far it is. The daemon then takes appends from this process, and from no other."""
        return self._asking.call("GET", routes.path(routes.UPLOAD, upload=upload), Upload)


def _rest_of(piece: bytes, start: int) -> Callable[[int], bytes]:
    return lambda offset: piece[offset - start :]


class _Reader:
    """The rest of the source as requests sends it: a stream with a length. Hashes what it has not seen yet."""

    def __init__(self, source: Source, size: int, hasher: Hasher, progress: Progress) -> None:
        self._source = source
        self._size = size
        self._hasher = hasher
        self._progress = progress
        self._position = 0
        self._hashed_to = 0

    def stand_at(self, offset: int) -> "_Reader":
        """Itself, at that offset. What lies between, and was sent by an earlier process, is hashed on the way."""
        self._go(min(offset, self._hashed_to))
        while self._position < offset:
            self._next(min(BLOCK, offset - self._position))
        self._progress(offset, self._size)
        return self

    def __len__(self) -> int:
        return self._size - self._position

    def __iter__(self) -> Iterator[bytes]:
        # requests takes only what can be iterated for a stream, and then reads it.
        while data := self.read(BLOCK):
            yield data

    def read(self, size: int = -1) -> bytes:
        """The next bytes; raises FileRefused."""
        left = self._size - self._position
        data = self._next(left if size < 0 else min(size, left)) if left else b""
        self._progress(self._position, self._size)
        return data

    def _go(self, offset: int) -> None:
        if offset != self._position:
            self._source.seek(offset)
            self._position = offset

    def _next(self, size: int) -> bytes:
        data = self._source.read(size)
        if not data:
            raise self._source.refused(SHORTER)
        self._position += len(data)
        if self._position > self._hashed_to:
            self._hasher.update(data[self._hashed_to - self._position :])
            self._hashed_to = self._position
        return data
