"""Move the blobs, several at a time: each one is verified as it is read, and published only if its bytes are right.

They are looked up, recorded and published a batch at a time, while threads read and send their bytes. What an
interrupted migration has published is not copied again. Memory does not grow with the number of blobs, nor with their
sizes: a thread holds a small blob, or a piece of a large one.
"""

import threading
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing, suppress
from dataclasses import dataclass
from itertools import islice

from sqlalchemy import Connection

from opstore_daemon.backup.blobs import Copied, Damaged, opener, pieces_in, verified
from opstore_daemon.backup.reporting import Report, Step, count_of
from opstore_daemon.migration.source import Facts, Source, Wanted
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.backup_lines import Problem
from opstore_daemon.protocol.digests import Digest
from opstore_daemon.protocol.limits import SMALL_PUSH
from opstore_daemon.savers import BaseSaver
from opstore_daemon.savers.bulk import Batch, BatchOfOne, FoundBlob

THREADS = 8
BATCH = 200  # blobs
SAMPLE = 32  # blobs, spread evenly, that are read back without `checksum`
SAMPLE_SIZE = 64 * 1024 * 1024  # bytes of them together, at most
_ENDED = "the migration was interrupted"


@dataclass(frozen=True, slots=True)
class _Running:
    """A batch whose blobs are being copied, each to become True, or False if its bytes were there and intact."""

    batch: Batch
    copies: Mapping[Wanted, Future[bool]]


class BlobCopy:
    """The blobs of the source, and the saver that they are copied to.

    `checksum`: read all of them back, also those that are there already, and copy damaged ones again.
    """

    def __init__(self, source: Source, target: BaseSaver, *, checksum: bool) -> None:
        self._source, self._target, self._checksum = source, target, checksum
        self._ends = threading.Event()

    def copy(self, snapshot: Connection, facts: Facts, report: Report, check: Callable[[], None]) -> Copied:
        """Copy what the snapshot names. Blobs that are damaged or missing in the source are reported and skipped.

        `check` raises an error if the target is no longer that of this process; called now and then. Raises errors of
        both savers and of the database.
        """
        done, step = Copied(), _SharedStep(report, f"copying {count_of(facts.blobs, 'blob')}", facts.blobs_size)
        pool, running = ThreadPoolExecutor(THREADS, "migration"), deque[_Running]()
        try:
            with self._source.blobs(snapshot) as wanted:
                for blobs in _batches(wanted):
                    check()
                    running.append(self._begin(pool, blobs, done, step))
                    if len(running) == 2:  # while one is published, the threads are busy with the other
                        self._finish(pool, running.popleft(), done, step)
            while running:
                self._finish(pool, running.popleft(), done, step)
        except errors.OpStoreError:
            self._ends.set()
            for each in running:
                _keep(each)
            raise
        finally:
            self._ends.set()
            pool.shutdown(cancel_futures=True)
        return done

    def _begin(self, pool: ThreadPoolExecutor, blobs: Sequence[Wanted], done: Copied, step: "_SharedStep") -> _Running:
        """Have the threads copy those blobs that the target has not."""
        there, new = _there(self._target, blobs), []
        for blob in blobs:
            if blob not in there:
                new.append(blob)
            elif not self._checksum:
                done.count_present(blob.size)
                step.advance(blob.size)
        sources = self._source.saver.find([blob.digest for blob in (blobs if self._checksum else new)])
        batch = self._target.batch([blob.digest for blob in new if blob.size <= SMALL_PUSH])
        copies = {blob: pool.submit(self._copy, blob, sources.get(blob.digest), batch, step) for blob in new}
        if self._checksum:
            of_one = BatchOfOne(self._target.put)
            copies |= {
                blob: pool.submit(self._mend, blob, found, sources.get(blob.digest), of_one, step)
                for blob, found in there.items()
            }
        return _Running(batch, copies)

    def _finish(self, pool: ThreadPoolExecutor, running: _Running, done: Copied, step: "_SharedStep") -> None:
        """Wait for the blobs of the batch, and publish them; raise the first error of one that could not be copied."""
        copied = []
        try:
            for blob, future in running.copies.items():
                try:
                    if future.result():
                        copied.append(blob)
                    else:
                        done.count_present(blob.size)
                except Damaged as damage:
                    done.problems.append(self._source.problem(blob.digest, str(damage)))
                    step.report(done.problems[-1])
        except errors.OpStoreError:
            self._ends.set()
            _keep(running)
            raise
        running.batch.finish()
        for blob in copied:
            done.count_copied(blob.size)
        if self._checksum:
            for digest in self._damaged(pool, copied):
                place = self._target.place()
                raise errors.StorageFailed(reason=f"{digest} was read back from {place} as other bytes")

    def _copy(self, blob: Wanted, found: FoundBlob | None, batch: Batch, step: "_SharedStep") -> bool:
        """Copy a blob; raise Damaged if it can't be read, or is damaged, also at a second attempt."""
        try:
            put_blob(batch, self._target, blob, self._counted(blob, found, step))
        except Damaged:
            put_blob(batch, self._target, blob, self._counted(blob, found, step))
        return True

    def _mend(self, blob: Wanted, there: FoundBlob, found: FoundBlob | None, batch: Batch, step: "_SharedStep") -> bool:
        """Copy a blob that is there only if it is damaged; return whether it was."""
        if _is_intact(blob, there):
            step.advance(blob.size)
            return False
        return self._copy(blob, found, batch, step)

    def _counted(self, blob: Wanted, found: FoundBlob | None, step: "_SharedStep") -> Iterator[bytes]:
        for piece in verified(self._pieces(blob, found), blob.digest.hex, blob.size):
            if self._ends.is_set():
                raise errors.StorageFailed(reason=_ENDED)
            yield piece
            step.advance(len(piece))

    def _pieces(self, blob: Wanted, found: FoundBlob | None) -> Iterator[bytes]:
        """Yield the bytes in the source; raise Damaged if the failure of a read is one of this blob."""
        try:
            yield from pieces_in(opener(self._source.saver, blob.digest.hex) if found is None else found.open)
        except errors.StorageFailed as error:
            problem = self._problem(blob)
            if problem is None:
                raise
            raise Damaged(problem) from error

    def _problem(self, blob: Wanted) -> str | None:
        """Return in words why the blob in the source can't be read; None if nothing speaks against it."""
        try:
            found = self._source.saver.examine(blob.digest)
        except errors.BlobNotFound:
            return "is missing"
        if found.problem is None and found.size != blob.size:
            return f"has {count_of(found.size, 'byte')} instead of {blob.size}"
        return None if found.problem is None else f"can't be read: {found.problem}"

    def _damaged(self, pool: ThreadPoolExecutor, blobs: Sequence[Wanted]) -> Iterator[Digest]:
        """Read the blobs in the target; yield those that are not intact."""
        there = _there(self._target, blobs)

        def is_intact(blob: Wanted) -> bool:
            return blob in there and _is_intact(blob, there[blob])

        for blob, intact in zip(blobs, pool.map(is_intact, blobs), strict=True):
            if not intact:
                yield blob.digest

    def verify(self, snapshot: Connection, done: Copied, facts: Facts, report: Report) -> int:
        """Check that the target has every blob but those with a problem, and read a sample; return the number read.

        Raises MigrationDiffers.
        """
        step = Step(report, f"verifying {count_of(facts.blobs, 'blob')}", facts.blobs, "blobs")
        known, found, seen, sample = {problem.digest for problem in done.problems}, 0, 0, list[Wanted]()
        with self._source.blobs(snapshot) as wanted:
            for blobs in _batches(wanted):
                there = _there(self._target, [blob for blob in blobs if blob.digest not in known])
                found += len(there)
                for number, blob in enumerate(blobs, seen):
                    is_sampled = number % (facts.blobs // SAMPLE + 1) == 0 and blob.size <= SAMPLE_SIZE // SAMPLE
                    if is_sampled and blob in there:
                        sample.append(blob)
                seen += len(blobs)
                step.advance(len(blobs))
        if found + len(known) != facts.blobs:
            missing = facts.blobs - len(known) - found
            reason = f"{count_of(missing, 'blob')} of {facts.blobs} are not in {self._target.place()}"
            raise errors.MigrationDiffers(reason=reason)
        if self._checksum:
            return found
        with ThreadPoolExecutor(THREADS, "migration") as pool:
            for digest in self._damaged(pool, sample):
                reason = f"{digest} has other bytes in {self._target.place()}; --checksum copies it again"
                raise errors.MigrationDiffers(reason=reason)
        return len(sample)


def _keep(running: _Running) -> None:
    """Publish what a batch has sent before a failure, which then need not be sent again."""
    wait(running.copies.values())
    with suppress(errors.OpStoreError):
        running.batch.finish()


def missing(target: BaseSaver, wanted: Iterator[Wanted]) -> Iterator[Wanted]:
    """Yield those of the blobs that the target has not, or with another size."""
    for blobs in _batches(wanted):
        there = _there(target, blobs)
        yield from (blob for blob in blobs if blob not in there)


def put_blob(batch: Batch, saver: BaseSaver, blob: Wanted, pieces: Iterable[bytes]) -> None:
    """Store the pieces as the blob, a small one in the batch, once all of them came.

    Raises what `pieces` raises, and errors of the saver.
    """
    if blob.size <= SMALL_PUSH:
        batch.put(b"".join(pieces), blob.digest)
        return
    upload = uuid.uuid4().hex
    try:
        with closing(saver.draft(upload)) as draft:
            draft.expect(blob.size)
            for piece in pieces:
                draft.append(piece)
            draft.publish(blob.digest)
    finally:
        saver.discard(upload)


def _batches(wanted: Iterator[Wanted]) -> Iterator[Sequence[Wanted]]:
    while blobs := list(islice(wanted, BATCH)):
        yield blobs


def _there(saver: BaseSaver, blobs: Sequence[Wanted]) -> dict[Wanted, FoundBlob]:
    """Return those of the blobs that the saver has with their size, without reading them."""
    found = saver.find([blob.digest for blob in blobs])
    return {blob: there for blob in blobs if (there := found.get(blob.digest)) and there.size == blob.size}


def _is_intact(blob: Wanted, found: FoundBlob) -> bool:
    try:
        for _ in verified(pieces_in(found.open), blob.digest.hex, blob.size):
            pass
    except Damaged:
        return False
    return True


class _SharedStep:
    """A step that several threads advance."""

    def __init__(self, report: Report, name: str, total: int) -> None:
        self._lock, self._report, self._step = threading.Lock(), report, Step(report, name, total)

    def advance(self, count: int) -> None:
        with self._lock:
            self._step.advance(count)

    def report(self, problem: Problem) -> None:
        with self._lock:
            self._report(problem)
