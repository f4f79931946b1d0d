"""Pushes: bytes go to the daemon once, summed as they go, and go on where the line broke.

A few bytes go with the request that makes the version. Bytes that the store has already are not sent: it is asked by a
sample of them, and by their digest where it knows bytes of that sample.
"""

import contextlib
import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from opstore_cli.transfer.checksum import Summing
from opstore_cli.transfer.resume_state import NOTED_FROM, HeldNote, Note, spelled
from opstore_cli.transfer.retry import INTERRUPTIONS, Patience
from opstore_cli.transfer.source import Readable, Slice, Source, opened
from opstore_cli.transport.api import ApiClient
from opstore_cli.transport.interface import Body
from opstore_daemon.protocol import errors, limits, routes
from opstore_daemon.protocol.checksums import checksum_of, new_sum
from opstore_daemon.protocol.digests import digest_of
from opstore_daemon.protocol.limits import READ_SIZE
from opstore_daemon.protocol.records import Blobs, NewUpload, NewVersion, Pushed, Upload

PIECE = 4 * 1024 * 1024  # bytes that are kept until they are acknowledged, where the source can't go back

Progress = Callable[[int, int | None], None]
# What says that the bytes which an earlier process left are not the ones that belong there.
LEFT_WRONG = (errors.ChecksumMismatch, errors.SizeMismatch, errors.UploadNotFound)
# After these the upload is still there, and what it is for may come about later.
PASSING = (errors.Unreachable, errors.Unavailable, errors.NotAuthorised)


def push(
    api: ApiClient, op: str, source: Readable | Source, declared: NewVersion, home: Path | None, progress: Progress
) -> Pushed:
    """Sends the bytes, then makes the version that is `declared` (without upload, digest and size) of them.

    Raises FileRefused, and whatever the daemon says.
    """
    with opened(source) as file:
        pushing = _Pushing(api, op, file, _with_format(declared, file.format), progress)
        if file.size is not None and file.size <= limits.SMALL_PUSH:
            return pushing.push_whole(file.size)
        if not file.is_random:
            return pushing.push_in_order()
        with _note(api, file, home) as note:
            pushed = pushing.push_file(note)
        file.end()
        return pushed


def _with_format(declared: NewVersion, known: str | None) -> NewVersion:
    if known is None:
        return declared
    if declared.format not in (None, known):
        raise errors.InvalidRequest(reason=f"the format of a folder is {known}, not {declared.format}")
    return msgspec.structs.replace(declared, format=known)


@contextlib.contextmanager
def _note(api: ApiClient, file: Source, home: Path | None) -> Iterator[HeldNote | None]:
    """The note about pushing that file, whatever becomes of it: an upload belongs to no op until it is a version."""
    identity = file.identity
    if home is None or identity is None or file.size is None or file.size < NOTED_FROM:
        yield None
        return
    with HeldNote.take(home, "push", api.transport.identity, *identity) as note:
        yield note


class _Pushing:
    """One push of a source to an op."""

    def __init__(self, api: ApiClient, op: str, source: Source, declared: NewVersion, progress: Progress) -> None:
        self._api = api
        self._op = op
        self._source = source
        self._declared = declared
        self._progress = progress

    def push_whole(self, size: int) -> Pushed:
        """All of it in one request, which may be repeated as a whole."""
        self._progress(0, size)
        data = self._source.read_full(size)
        if len(data) < size:
            raise self._source.shorter()
        pushed = self._make(data, digest=digest_of(data), size=size)
        self._progress(size, size)
        return pushed

    def push_in_order(self) -> Pushed:
        """What can be read only once: a piece is kept until the daemon has it."""
        upload, sent, seen = self._begin(None), 0, new_sum()
        try:
            while piece := self._source.read_full(PIECE):
                seen.update(piece)
                self._append(upload.upload, sent, sent + len(piece), _rest_of(piece, sent))
                sent += len(piece)
                self._progress(sent, self._source.size)
            if self._source.size not in (None, sent):
                raise self._source.shorter()
            return self._make(upload=upload.upload, checksum=checksum_of(seen), size=sent)
        except errors.OpStoreError:
            self._give_up(upload, None)
            raise

    def push_file(self, note: HeldNote | None) -> Pushed:
        """What can be read from any place: from where the daemon has it, as often as it takes."""
        earlier = self._earlier(note)
        self._moved(0 if earlier is None else earlier.offset)
        pushed = self._push_known()
        if pushed is not None:
            if earlier is not None:
                self._give_up(earlier, note)
            _forget(note)
            return pushed
        if earlier is not None:
            with contextlib.suppress(*LEFT_WRONG):
                return self._send(earlier, note)
        return self._send(self._begin(note), note)

    @functools.cached_property
    def _summing(self) -> Summing:
        return Summing.of(self._source)  # with the first byte that needs it: a few bytes have their digest

    @property
    def _size(self) -> int:
        assert self._source.size is not None, "it is random"  # noqa: S101
        return self._source.size

    def _moved(self, done: int) -> None:
        self._progress(done, self._size)

    def _push_known(self) -> Pushed | None:
        """The version of bytes that the store has, undamaged; None where it has not."""
        asked = {"sample": self._source.sample()}
        if not self._api.request("GET", routes.BLOBS, Blobs, parameters=asked).blobs:
            return None
        self._summing.pause()  # a digest needs none, and two readers of a source take turns
        try:
            with self._api.start(routes.BLOBS, Blobs, {**asked, "intact": 1}) as intact:
                digest = self._source.digest(self._moved)  # while the daemon reads what it has
                known = {blob.digest for blob in intact().blobs}
        except INTERRUPTIONS:
            return None
        return self._make(digest=digest, size=self._size) if digest in known else None

    def _earlier(self, note: HeldNote | None) -> Upload | None:
        """The upload that an earlier process left of this file, if the daemon still has it."""
        left = note.read() if note is not None else None
        if left is None:
            return None
        try:
            upload = self._stands(left.upload)
        except (errors.NotFound, errors.Conflict, errors.Refused):
            return None
        return upload if upload.size == self._size and upload.offset <= self._size else None

    def _send(self, upload: Upload, note: HeldNote | None) -> Pushed:
        """All of it, from where the upload stands."""
        try:
            self._summing.reach(upload.offset)
            self._append(upload.upload, upload.offset, self._size, self._rest)
            self._moved(self._size)
            pushed = self._make(upload=upload.upload, checksum=self._summing.checksum(), size=self._size)
        except errors.OpStoreError as failure:
            if note is None or not isinstance(failure, PASSING):
                self._give_up(upload, note)
            raise
        _forget(note)
        return pushed

    def _rest(self, offset: int) -> "_Rest":
        """The bytes from the offset on."""

        def before(position: int, count: int) -> None:
            self._moved(position)
            self._summing.reach(position + count)

        return _Rest(self._source, offset, before)

    def _make(self, data: bytes | None = None, **told: Any) -> Pushed:
        """The version of the bytes that `told` and `data` say."""
        self._source.check_unchanged()
        version = msgspec.structs.replace(self._declared, **told)
        path = routes.path(routes.VERSIONS, op=self._op)
        pushed = self._api.request("POST", path, Pushed, body=version, data=data)
        return self._api.check_pushed(pushed, self._op, version.digest, version.size)

    def _begin(self, note: HeldNote | None) -> Upload:
        upload = self._api.request("POST", routes.UPLOADS, Upload, body=NewUpload(size=self._source.size))
        if note is not None:
            path = spelled(str(self._source.path))
            daemon = self._api.transport.identity
            note.write(Note(way="push", daemon=daemon, path=path, size=self._size, upload=upload.upload))
        return upload

    def _give_up(self, upload: Upload, note: HeldNote | None) -> None:
        with contextlib.suppress(errors.OpStoreError):
            self._api.request("DELETE", routes.path(routes.UPLOAD, upload=upload.upload), None)
        _forget(note)

    def _append(self, upload: str, offset: int, end: int, body_at: Callable[[int], bytes | Body]) -> None:
        """Appends the bytes from `offset` to `end`, as often as it takes."""
        patience = Patience(offset)
        start = offset
        while offset < end:
            failure: errors.OpStoreError = errors.ConnectionLost(
                url=self._api.transport.address, reason="nothing arrived"
            )
            try:
                offset = self._api.append(upload, offset, body_at(offset)).offset
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
                return self._stands(upload).offset
            except INTERRUPTIONS:
                patience.wait(failure)

    def _stands(self, upload: str) -> Upload:
        """How far it is. The daemon then takes appends from this process, and from no other."""
        return self._api.request("GET", routes.path(routes.UPLOAD, upload=upload), Upload)


def _forget(note: HeldNote | None) -> None:
    if note is not None:
        note.remove()


def _rest_of(piece: bytes, start: int) -> Callable[[int], bytes]:
    return lambda offset: piece[offset - start :]


class _Rest:
    """The bytes of a source from an offset on (Body). `before` is called before each piece."""

    def __init__(self, source: Source, offset: int, before: Callable[[int, int], None]) -> None:
        self._source, self._before = source, before
        self._position, self._size = offset, source.size or 0

    def __len__(self) -> int:
        return self._size - self._position

    def __iter__(self) -> Iterator[bytes]:
        while data := self.read(READ_SIZE):
            yield data

    def read(self, size: int = -1) -> bytes:
        """The next bytes; raises FileRefused."""
        left = len(self)
        count = left if size < 0 else min(size, left)
        if not count:
            return b""
        self._before(self._position, count)
        data = self._source.read_at(self._position, count)
        if not data:
            raise self._source.shorter()
        self._position += count
        return data

    def pieces(self, *, slices: bool) -> Iterator[bytes | Slice]:
        while left := len(self):
            count = min(READ_SIZE, left)
            if not (slices and self._source.is_file):
                yield self.read(count)
                continue
            self._before(self._position, count)
            yield Slice(self._source, self._position, count)
            self._position += count
