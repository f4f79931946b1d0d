"""Upload a new version: send each byte once with a checksum over all, and resume after a lost connection.

A small version is sent in the request that creates it. Bytes that the store already has are not sent: the client looks
them up by a sample, and computes their digest only if the store has bytes with that sample.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from opstore_cli.transfer.checksum import SourceHash
from opstore_cli.transfer.direct_upload import DirectUpload
from opstore_cli.transfer.interruption import InterruptedTransfer
from opstore_cli.transfer.progress import Progress
from opstore_cli.transfer.resume_state import RECORDED_FROM, StateFile, TransferState, printable
from opstore_cli.transfer.retry import RETRYABLE, RETRYABLE_UPLOAD, RetryBudget
from opstore_cli.transfer.source import Readable, Source, open_source
from opstore_cli.transfer.source_body import SourceBody
from opstore_cli.transport import expected
from opstore_cli.transport.api import ApiClient
from opstore_cli.transport.interface import Body
from opstore_daemon.protocol import errors, limits, routes
from opstore_daemon.protocol.checksums import checksum_of, new_sum
from opstore_daemon.protocol.digests import digest_of
from opstore_daemon.protocol.names import OpName
from opstore_daemon.protocol.records import Blobs, NewUpload, NewVersion, Pushed, Upload

# Bytes of a stream that are kept until a daemon has acknowledged them. With an object store they are a whole part, so
# that none of them is stored as a tail and read back. The parts of a stream double after each thousand.
PIECE = 8 * 1024 * 1024
MAX_PIECE = 8 * PIECE
PARTS_OF_A_SIZE = 1000

# The bytes that an earlier process sent are not the beginning of this source: start a new upload.
STALE = (errors.DigestMismatch, errors.SizeMismatch, errors.UploadNotFound)
# The daemon still has the upload after these errors, and a later push may succeed: keep it. Not after StorageFull.
TRANSIENT = (errors.Unreachable, errors.Unavailable, errors.NotAuthorised, errors.TooManyReads)


def push(
    api: ApiClient,
    op: OpName,
    source: Readable | Source,
    declared: NewVersion,
    home: Path | None,
    progress: Progress,
    *,
    follow_links: bool = False,
    exclude: Sequence[str] = (),
) -> Pushed:
    """Upload the bytes and create the version that `declared` describes, without its upload, digest and size.

    `home` is the folder for the state file, None if the upload need not be resumed by a later process. `follow_links`:
    store what the links in a folder lead to in place of the links. `exclude`: patterns of entries of a folder to skip.
    Raises FileRefused, and the daemon's errors.
    """
    with open_source(source, follow_links=follow_links, exclude=exclude) as file:
        uploader = Uploader(api, op, file, _described(declared, file), progress)
        if file.size is not None and file.size <= limits.SMALL_PUSH:
            return uploader.small(file.size)
        if not file.is_random:
            return uploader.stream()
        with _state_file(api, file, home) as state:
            pushed = uploader.file(state)
        file.end()
        return pushed


def _described(declared: NewVersion, source: Source) -> NewVersion:
    """Return the declaration with what the source shows of itself: its format, or its name and executable bit."""
    known = source.format
    if known is None:
        filename = declared.filename or source.filename
        is_executable = declared.executable or source.is_executable
        return msgspec.structs.replace(declared, filename=filename, executable=is_executable)
    if declared.format not in (None, known):
        raise errors.InvalidRequest(reason=f"the format of a folder is {known}, not {declared.format}")
    return msgspec.structs.replace(declared, format=known)


@contextlib.contextmanager
def _state_file(api: ApiClient, file: Source, home: Path | None) -> Iterator[StateFile | None]:
    # The key does not contain the op: an upload belongs to no op until its version is created.
    identity = file.identity
    if home is None or identity is None or file.size is None or file.size < RECORDED_FROM:
        yield None
        return
    with StateFile.acquire(home, "push", api.transport.identity, *identity) as state:
        yield state


def piece_size(sent: int) -> int:
    """Return the size in bytes of the piece of a stream behind the `sent` bytes, as large as a part of an object."""
    size, end = PIECE, PIECE * PARTS_OF_A_SIZE
    while sent >= end and size < MAX_PIECE:
        size *= 2
        end += size * PARTS_OF_A_SIZE
    return size


class Uploader:
    """One push of a source to an op; call one of `small`, `stream` and `file`."""

    def __init__(self, api: ApiClient, op: OpName, source: Source, declared: NewVersion, progress: Progress) -> None:
        self._api = api
        self._op = op
        self._source = source
        self._declared = declared
        self._progress = progress

    def small(self, size: int) -> Pushed:
        """Send all bytes in the request that creates the version, which is idempotent."""
        self._progress(0, size)
        data = self._source.read_full(size)
        if len(data) < size:
            raise self._source.truncation()
        pushed = self._create_version(data, digest=digest_of(data), size=size)
        self._progress(size, size)
        return pushed

    def stream(self) -> Pushed:
        """Send a source that can be read only once; each piece is kept until the daemon has it."""
        upload, sent, checksum = self._start(None), 0, new_sum()
        try:
            while piece := self._source.read_full(piece_size(sent)):
                checksum.update(piece)
                self._append(upload.upload, sent, sent + len(piece), _body_of(piece, sent))
                sent += len(piece)
                self._progress(sent, self._source.size)
            if self._source.size not in (None, sent):
                raise self._source.truncation()
            return self._finish(upload.upload, sent, {"checksum": checksum_of(checksum)}, None)
        except BaseException:  # nothing can resume it
            self._delete(upload, None)
            raise

    def file(self, state: StateFile | None) -> Pushed:
        """Send a source that `is_random`; resumes the upload that `state` names, if the daemon still has it."""
        earlier = self._earlier_upload(state)
        self._moved(0 if earlier is None else earlier.offset)
        pushed = self._push_known()
        if pushed is not None:
            if earlier is not None:
                self._delete(earlier, state)
            _remove(state)
            return pushed
        if earlier is not None:
            with contextlib.suppress(*STALE):
                return self._send(earlier, state, SourceHash(self._source, secure=True))
        return self._send(self._start(state), state, SourceHash(self._source))

    @property
    def _size(self) -> int:
        assert self._source.size is not None, "it is random"  # noqa: S101
        return self._source.size

    def _moved(self, done: int) -> None:
        self._progress(done, self._size)

    def _push_known(self) -> Pushed | None:
        """Create the version from bytes that the store has and verifies; None if it does not have them."""
        query = {"sample": self._source.sample()}
        if not self._api.request("GET", routes.BLOBS, Blobs, parameters=query).blobs:
            return None
        try:
            with self._api.start(routes.BLOBS, Blobs, {**query, "intact": 1}) as intact:
                digest = self._source.digest(self._moved)  # while the daemon verifies its blobs
                known = {blob.digest for blob in intact().blobs if blob.size == self._size}
        except RETRYABLE:
            return None
        if digest in known:
            with contextlib.suppress(errors.BlobNotFound):  # removed or found damaged meanwhile
                return self._create_version(digest=digest, size=self._size)
        return None

    def _earlier_upload(self, state: StateFile | None) -> Upload | None:
        """Return the upload of this source that an earlier process started, if the daemon still has it."""
        recorded = state.read() if state is not None else None
        if recorded is None:
            return None
        try:
            upload = self._get(recorded.upload)
        except (errors.NotFound, errors.Conflict, errors.Refused):
            return None
        return upload if upload.size == self._size and upload.offset <= self._size else None

    def _send(self, upload: Upload, state: StateFile | None, hashed: SourceHash) -> Pushed:
        """Send the bytes from the upload's offset on, and create the version; `hashed` is what verifies all bytes."""
        try:
            hashed.extend_to(upload.offset)
            direct = DirectUpload(self._api, self._op, self._source, hashed, self._state_after, self._moved)

            def append_from(offset: int) -> None:
                self._append(upload.upload, offset, self._size, lambda at: self._body_from(at, hashed))
                self._moved(self._size)

            append_from(direct.send(upload))
            pushed = self._finish(upload.upload, self._size, hashed.declaration(), append_from)
        except errors.OpStoreError as failure:
            if state is None or isinstance(failure, errors.StorageFull) or not isinstance(failure, TRANSIENT):
                self._delete(upload, state)
            elif isinstance(failure, errors.ConnectionLost):
                failure.with_resume()
            raise
        except KeyboardInterrupt:
            if state is None:
                raise
            raise InterruptedTransfer from None
        _remove(state)
        return pushed

    def _body_from(self, offset: int, hashed: SourceHash) -> SourceBody:
        def before_piece(position: int, count: int) -> None:
            self._moved(position)
            hashed.extend_to(position + count)

        return SourceBody(self._source, offset, self._size, before_piece)

    def _finish(
        self, upload: str, size: int, declaration: dict[str, Any], append_from: Callable[[int], None] | None
    ) -> Pushed:
        """Create the version of an upload whose bytes are all sent.

        If the daemons have fewer bytes by then than they have acknowledged, `append_from` an offset sends the rest
        again; without it, that is an error.
        """
        retries = RetryBudget(size)
        while True:
            try:
                return self._create_version(upload=upload, size=size, **declaration)
            except errors.NotVerified as failure:
                retries.wait(failure)
            except (errors.UploadNotOpen, errors.UploadIncomplete) as failure:
                retries.wait(failure)
                offset = self._state_after(upload, retries, failure).offset
                if offset != size:
                    if append_from is None or offset > size:
                        raise
                    append_from(offset)

    def _create_version(self, data: bytes | None = None, **fields: Any) -> Pushed:
        """Create the version from `data`, or from the bytes that the `fields` of NewVersion identify."""
        self._source.check_unchanged()
        version = msgspec.structs.replace(self._declared, **fields)
        path = routes.path(routes.VERSIONS, op=self._op)
        pushed = self._api.request("POST", path, Pushed, body=version, data=data)
        return self._api.check_pushed(pushed, self._op, version)

    def _start(self, state: StateFile | None) -> Upload:
        size = self._source.size
        upload = self._api.request("POST", routes.UPLOADS, Upload, body=NewUpload(size=size))
        self._api.expect(upload, expected.is_upload(upload, size), f"a new upload of {size} bytes")
        if state is not None:
            path = printable(str(self._source.path))
            daemon = self._api.transport.identity
            state.write(
                TransferState(
                    way="push",
                    daemon=daemon,
                    path=path,
                    size=self._size,
                    upload=upload.upload,
                    follow_links=self._source.follows_links,
                    exclude=self._source.exclude,
                )
            )
        return upload

    def _delete(self, upload: Upload, state: StateFile | None) -> None:
        with contextlib.suppress(errors.OpStoreError):
            self._api.request("DELETE", routes.path(routes.UPLOAD, upload=upload.upload), None)
        _remove(state)

    def _append(self, upload: str, offset: int, end: int, body_from: Callable[[int], bytes | Body]) -> None:
        """Append the bytes from `offset` to `end`, and resume after interruptions while there is progress."""
        retries = RetryBudget(offset)
        start = offset
        while offset < end:
            failure: errors.OpStoreError = errors.ConnectionLost(
                url=self._api.transport.address, reason="the daemon received no bytes"
            )
            try:
                offset = self._api.append(upload, offset, body_from(offset)).offset
            except RETRYABLE_UPLOAD as interruption:
                failure = interruption
                offset = self._state_after(upload, retries, failure).offset
            if not start <= offset <= end:
                raise errors.OffsetMismatch(upload=upload, offset=offset, given=end) from failure
            if not retries.progressed_to(offset):
                retries.wait(failure)

    def _state_after(self, upload: str, retries: RetryBudget, failure: errors.OpStoreError) -> Upload:
        while True:
            try:
                return self._get(upload)
            except RETRYABLE_UPLOAD:
                retries.wait(failure)

    def _get(self, upload: str) -> Upload:
        """Request the upload's state; from then on the daemon refuses appends of any other process."""
        found = self._api.request("GET", routes.path(routes.UPLOAD, upload=upload), Upload)
        return self._api.expect(found, expected.is_upload(found, None, upload), f"the upload {upload}")


def _remove(state: StateFile | None) -> None:
    if state is not None:
        state.remove()


def _body_of(piece: bytes, start: int) -> Callable[[int], bytes]:
    return lambda offset: piece[offset - start :]
