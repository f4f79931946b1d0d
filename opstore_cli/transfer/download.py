"""Download a version: verify its bytes, resume after a lost connection, publish a file or folder only when whole."""

import io
import os
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO

from opstore_cli.files.part_file import PartFile
from opstore_cli.files.part_folder import PartFolder
from opstore_cli.folders.unpacking import PartialFolder, unpack
from opstore_cli.transfer.direct_download import DirectDownload
from opstore_cli.transfer.hashing import HashedStream, Hasher
from opstore_cli.transfer.interruption import InterruptedTransfer
from opstore_cli.transfer.output_path import check_path, check_path_of, is_complete, leave_alone
from opstore_cli.transfer.output_stream import flush, write_all
from opstore_cli.transfer.progress import Progress
from opstore_cli.transfer.resume_state import RECORDED_FROM, StateFile, TransferState, printable
from opstore_cli.transfer.retry import RETRYABLE, RetryBudget
from opstore_cli.transport.api import ApiClient
from opstore_cli.transport.direct_interface import DirectFailed
from opstore_cli.transport.response import ApiResponse
from opstore_daemon.protocol import errors, routes
from opstore_daemon.protocol.digests import Digest
from opstore_daemon.protocol.folder_format import InvalidFolder
from opstore_daemon.protocol.limits import READ_SIZE
from opstore_daemon.protocol.names import OpName
from opstore_daemon.protocol.records import VersionRecord

# Pieces of a file that may wait to be hashed. More than the default, because the network delivers in bursts: a pull
# takes a tenth less time.
MAX_WAITING = 16


@contextmanager
def start_pull(
    api: ApiClient,
    op: OpName,
    selector: str,
    progress: Progress,
    home: Path | None = None,
    *,
    client_verifies: bool = False,
    resume: bool = False,
    expected: VersionRecord | None = None,
) -> Generator["Pull", None, None]:
    """Request a version's bytes, and yield a Pull whose record identifies the version.

    `client_verifies`: the daemon need not verify the bytes as well, which on a machine with two cores takes as long as
    everything else. If they are wrong, `Pull.to_path` requests them again, verified. `resume`: a part of an earlier
    pull may exist, so request the record first, and later only the missing bytes. `expected`: raise
    UnexpectedResponse for any other version. Raises NotStored.
    """
    if resume:
        record = api.version(op, selector)
        if expected is not None:
            api.check_same(record, expected)
        with closing(Pull(api, record, None, progress, home)) as pull:
            yield pull
        return
    path = routes.path(routes.BYTES, op=op, selector=selector)
    with api.fetch(path, 0, part=client_verifies, direct=api.may_be_direct) as response:
        record = api.record_from_headers(response, op, selector)
        if expected is not None:
            api.check_same(record, expected)
        with closing(Pull(api, record, response, progress, home)) as pull:
            yield pull


class Pull:
    """A version whose bytes can be written to one output, once.

    The methods raise IntegrityFailure for bytes that do not match the digest, and the errors of the family
    `Unreachable` if the connection is lost and retries fail.
    """

    def __init__(
        self, api: ApiClient, record: VersionRecord, response: ApiResponse | None, progress: Progress, home: Path | None
    ) -> None:
        self.record = record
        self._api = api
        self._progress = progress
        self._home = home
        self._digest, self._size = _digest_and_size(record)
        self._wrong: set[Digest] = set()  # the digests of the wrong bytes that arrived
        self._direct = DirectDownload(api, record)
        is_direct = response is not None and self._direct.use(api.direct_bytes(response, record))
        self._response = None if is_direct else response

    def close(self) -> None:
        """Close the connections past the daemon. The pull may be used again."""
        self._direct.close()

    def to_bytes(self) -> bytes:
        """Return the verified bytes."""
        try:
            return self._to_bytes()
        except errors.DigestMismatch:
            if not self._direct.was_used:
                raise
        return self._to_bytes()  # wrong bytes came past the daemon: it has others, or says what is wrong with its own

    def _to_bytes(self) -> bytes:
        buffer = io.BytesIO()
        with Hasher() as hasher:
            for piece in self._pieces(0):
                hasher.update(piece)
                buffer.write(piece)
            self._check(hasher) if self._direct.is_ready else self._check_or_explain(hasher)
        return buffer.getvalue()

    def read_range(self, start: int, end: int) -> bytes:
        """Return the bytes from offset `start` to before `end`, which nothing verifies. It may be called repeatedly."""
        self._discard_response()
        buffer = io.BytesIO()
        with closing(self._pieces(start, client_verifies=True, end=min(end, self._size))) as pieces:
            for piece in pieces:
                buffer.write(piece)
        return buffer.getvalue()

    def to_stream(self, output: BinaryIO) -> None:
        """Write the bytes to the file object, the last piece only after all are verified.

        Raises OutputFailed and BrokenPipeError.
        """
        pending: bytes | memoryview = b""
        with Hasher() as hasher, closing(self._pieces(0)) as pieces:
            for piece in pieces:
                hasher.update(piece)
                write_all(output, pending)
                pending = piece
            self._check_or_explain(hasher)
        write_all(output, pending)
        flush(output)

    def to_path(self, target: Path, overwrite: bool) -> bool:
        """Write the version to the file, or unpack it to the folder, at `target`, unless its bytes are there already.

        Returns whether it was written.
        The bytes are written to a hidden file or folder beside it, which becomes the target when all are verified. It
        stays after a lost connection or a kill, and the next pull resumes from it. Raises OutputExists, FileRefused,
        FolderRefused and OutputFailed.
        """
        check_path(target, overwrite)
        if is_complete(self.record, target):
            leave_alone(self.record, target)
            return False
        try:
            with self.staged(target, overwrite) as publish:
                publish()
        except errors.OutputExists:
            if not is_complete(self.record, target):  # another process may have written the same bytes meanwhile
                raise
            return False
        return True

    @contextmanager
    def staged(self, target: Path, overwrite: bool) -> Iterator[Callable[[], None]]:
        """Write the version beside `target`, as `to_path` does, and yield the function that makes it the target.

        So several versions can be verified before the first of them appears. The function, and the end of the context,
        need no connection. After an error in the context the part stays only if a later pull can resume from it.
        """
        check_path_of(self.record, target, overwrite)
        part: PartFile | PartFolder

        def publish() -> None:
            with _output_errors(target):
                part.publish(target, overwrite)

        with ExitStack() as stack:
            with _output_errors(target):
                if self.record.is_folder:
                    part = stack.enter_context(self._staged_folder(target))
                else:
                    part = stack.enter_context(self._staged_file(target))
            yield publish

    @contextmanager
    def _staged_file(self, target: Path) -> Iterator[PartFile]:
        with (
            PartFile.beside(target, self._digest, executable=self.record.executable) as part,
            self._recorded(target, part.path),
            _kept_for_resume(part),
        ):
            try:
                self._fill(part, client_verifies=True)
            except errors.UnexpectedResponse:
                raise  # no bytes arrived
            except errors.IntegrityFailure:
                # A crash of the machine may have damaged the part, or the network the bytes: retry once from the
                # start, and let the daemon verify them too.
                part.empty()
                self._fill(part, client_verifies=False)
            yield part

    def _fill(self, part: PartFile, *, client_verifies: bool) -> None:
        if part.size() > self._size:
            part.empty()
        if not part.is_empty():
            self._discard_response()
        part.rewind()
        with Hasher(MAX_WAITING) as hasher:
            position = 0
            while data := part.read(READ_SIZE):
                hasher.update(data)
                position += len(data)
            buffers = hasher.buffers(self._size)
            with closing(self._pieces(position, buffers, client_verifies=client_verifies)) as pieces:
                for piece in pieces:
                    hasher.update(piece)
                    part.write(piece)
            self._check(hasher)

    @contextmanager
    def _staged_folder(self, target: Path) -> Iterator[PartFolder]:
        with PartFolder.beside(target, self._digest) as part, self._recorded(target, part.path), _kept_for_resume(part):
            try:
                self._unpack(part, target, client_verifies=True)
            except errors.UnexpectedResponse:
                raise  # no bytes arrived
            except errors.IntegrityFailure:
                part.empty()
                self._unpack(part, target, client_verifies=False)
            yield part

    def _unpack(self, part: PartFolder, target: Path, *, client_verifies: bool) -> None:
        with Hasher() as hasher, closing(PartialFolder.of(part.path)) as existing:
            if existing.size > self._size:
                raise errors.SizeMismatch(actual=existing.size, expected=self._size)
            if existing.size:
                self._discard_response()
            for piece in existing.pieces():
                hasher.update(piece)
            incomplete = existing.incomplete_file()
            start = partial(self._pieces, client_verifies=client_verifies)
            with closing(HashedStream(start, existing.size, hasher)) as stream:
                try:
                    unpack(stream, part.path, target, existing.entries, incomplete, stream.skip)
                except InvalidFolder as error:
                    # Hash the rest: if the bytes were damaged on the way, this raises DigestMismatch instead.
                    deque(stream, maxlen=0)
                    self._check(hasher)
                    reason = str(error)
                    raise errors.FolderRefused(op=self.record.op, version=self.record.version, reason=reason) from None
                self._check(hasher)

    @contextmanager
    def _recorded(self, target: Path, part: Path) -> Iterator[None]:
        """Keep a state file while this pull can be resumed."""
        if self._home is None or self._size < RECORDED_FROM:
            yield
            return
        with StateFile.acquire(self._home, "pull", os.path.abspath(part)) as state:
            if state is not None:
                state.write(
                    TransferState(
                        way="pull",
                        daemon=self._api.transport.identity,
                        path=printable(str(target)),
                        size=self._size,
                        version=f"{self.record.op}@{self.record.version}",
                        part=printable(str(part)),
                    )
                )
            try:
                yield
            finally:
                if state is not None and not os.path.lexists(part):
                    state.remove()

    def _check(self, hasher: Hasher) -> None:
        actual = hasher.digest()
        if actual != self._digest:
            self._direct.wrong_bytes()
            if actual in self._wrong:
                # Neither the network nor this machine damages bytes twice in the same way.
                reason = f"the daemon sent the same other bytes twice, with the digest {actual}"
                raise errors.BlobDamaged(digest=self._digest, reason=reason)
            self._wrong.add(actual)
            raise errors.DigestMismatch(actual=actual, expected=self._digest)

    def _check_or_explain(self, hasher: Hasher) -> None:
        """Check the bytes. If they are wrong, receive them once more, to find out whether the daemon has no others."""
        try:
            self._check(hasher)
        except errors.DigestMismatch:
            with suppress(errors.Unreachable), Hasher() as again:
                for piece in self._pieces(0):
                    again.update(piece)
                self._check(again)
            raise

    def _pieces(
        self,
        first: int,
        buffers: Iterator[memoryview] | None = None,
        *,
        client_verifies: bool = False,
        end: int | None = None,
    ) -> Generator[bytes | memoryview, None, None]:
        """Yield the bytes from offset `first` on, or to before `end`, reconnecting as often as needed.

        The caller verifies them. With `buffers`, each piece is in the next of them.
        """
        position, retries = first, RetryBudget(first)
        stop = self._size if end is None else end
        self._progress(position, self._size)
        while position < stop:
            failure: errors.OpStoreError = errors.ConnectionLost(
                url=self._api.transport.address, reason="the response ended early"
            )
            began = position
            try:
                with self._bytes_from(position, client_verifies=client_verifies, end=end) as response:
                    for piece in self._wanted(response, position, end, buffers):
                        position += len(piece)
                        yield piece
                        self._progress(position, self._size)
                    if position < stop and self._direct.is_ready:
                        raise DirectFailed("the object store", "the response ended early")
            except DirectFailed as direct_failure:
                # No retry of the budget: either bytes have come, or the daemon sends them now.
                self._direct.failed(direct_failure, has_progressed=position > began)
                continue
            except RETRYABLE as interruption:
                failure = interruption
            except errors.RangeNotSatisfiable:
                raise self._unexpected("the status 416", position) from None
            if position < stop and not retries.progressed_to(position):
                self._wait(retries, failure, position)

    def _wait(self, retries: RetryBudget, failure: Exception, position: int) -> None:
        """Wait before the next retry. If none is left, raise `failure`, or why no byte has come."""
        try:
            retries.wait(failure)
        except errors.ConnectionLost:
            if position == 0:  # else a part can be resumed once the cause is gone
                self._raise_cause()
            raise

    def _raise_cause(self) -> None:
        """Raise the error of the daemon if its storage fails; nothing if that is not why no byte has come.

        The response to a range begins before its bytes are read, and can only end early; that of all bytes begins
        after the first of them were read.
        """
        path = routes.path(routes.BYTES, op=self.record.op, selector=self.record.version)
        with suppress(errors.Unreachable), self._api.fetch(path, 0):
            pass

    def _wanted(
        self, response: ApiResponse, position: int, end: int | None, buffers: Iterator[memoryview] | None
    ) -> Iterator[bytes | memoryview]:
        """Yield the bytes of the response from offset `position` on, or to before `end`."""
        skip = self._check_response(response, position)
        for piece in response.pieces(buffers):
            wanted, skip = piece[skip:], max(skip - len(piece), 0)
            position += len(wanted)
            if end is not None and position > end:  # a proxy on the way does not support ranges
                yield wanted[: len(wanted) - (position - end)]
                return
            if position > self._size:
                raise errors.SizeMismatch(actual=f"more than {self._size}", expected=self._size)
            if wanted:
                yield wanted

    def _discard_response(self) -> None:
        """Close the response that began at offset 0."""
        if self._response is not None:
            self._response.close()
            self._response = None

    @contextmanager
    def _bytes_from(self, position: int, *, client_verifies: bool, end: int | None) -> Iterator[ApiResponse]:
        """Yield the response that `start_pull` received, or on later calls that of a new request."""
        first, self._response = self._response, None
        if first is not None:
            yield first
            return
        if not self._direct.is_ready:
            path, etag = routes.path(routes.BYTES, op=self.record.op, selector=self.record.version), f'"{self._digest}"'
            with self._api.fetch(
                path, position, etag, part=client_verifies, end=end, direct=self._direct.is_wanted
            ) as response:
                if not self._direct.use(self._api.direct_bytes(response, self.record)):
                    yield response
                    return
        with self._direct.bytes_from(position, end) as response:
            yield response

    def _check_response(self, response: ApiResponse, position: int) -> int:
        """Return how many bytes of the response to skip; raises UnexpectedResponse if it is about other bytes."""
        etag = response.header("ETag")
        if self._direct.is_ready:
            return position if response.status == HTTPStatus.OK else 0  # DirectDownload has checked it
        if etag != f'"{self._digest}"':
            raise self._unexpected(f"the ETag {etag[:100]!r}" if etag else "no ETag")
        if response.status == HTTPStatus.OK:
            return position  # all of the bytes: a proxy on the way does not support ranges
        part = response.header("Content-Range")
        if not part.startswith(f"bytes {position}-"):
            raise self._unexpected(f"the range {part[:100]!r}" if part else "a part without its range", position)
        return 0

    def _unexpected(self, actual: str, first: int = 0) -> errors.UnexpectedResponse:
        part = f" from byte {first} on" if first else ""
        return self._api.unexpected(actual, f"the bytes of {self._digest}{part}")


@contextmanager
def _output_errors(target: Path) -> Iterator[None]:
    try:
        yield
    except FileExistsError:
        raise errors.OutputExists(path=str(target)) from None
    except OSError as error:
        raise errors.OutputFailed(path=str(target), reason=errors.reason(error)) from error


@contextmanager
def _kept_for_resume(part: PartFile | PartFolder) -> Iterator[None]:
    """Keep the part after a lost connection or Ctrl-C, unless it is empty; delete it after any other error."""
    try:
        yield
    except (errors.Unreachable, KeyboardInterrupt) as failure:
        if part.is_empty():
            part.remove()
        elif isinstance(failure, errors.ConnectionLost):
            failure.with_resume()
        elif isinstance(failure, KeyboardInterrupt):
            raise InterruptedTransfer from None
        raise
    except BaseException:
        part.remove()
        raise


def _digest_and_size(record: VersionRecord) -> tuple[Digest, int]:
    if record.digest is None or record.size is None:
        raise errors.NotStored(op=record.op, version=record.version)
    return Digest.parse(record.digest), record.size
