"""Move the blobs, several at a time: each one is verified as it is read, and published only if its bytes are right.

What an interrupted migration has published is not copied again. Memory does not grow with the number of blobs, nor with
their sizes: a thread holds a piece of one blob.
"""

import threading
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass, field
from typing import Literal

from sqlalchemy import Connection

from opstore_daemon.backup.blobs import Damaged, pieces_in, verified
from opstore_daemon.backup.reporting import Report, Step, count_of
from opstore_daemon.migration.source import Facts, Source, Wanted
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.backup_lines import Problem
from opstore_daemon.protocol.limits import SMALL_PUSH
from opstore_daemon.savers import BaseSaver

THREADS = 8
SAMPLE = 32  # blobs, spread evenly, that are read back without `checksum`
SAMPLE_SIZE = 64 * 1024 * 1024  # bytes of them together, at most
_ENDED = "the migration was interrupted"

Outcome = Literal["copied", "present"]


@dataclass
class Copied:
    """The result of `copy`: numbers and bytes of the copied blobs and of those that were there, and problems."""

    copied: int = 0
    copied_size: int = 0
    present: int = 0
    present_size: int = 0
    read_back: int = 0
    problems: list[Problem] = field(default_factory=list)

    def count(self, outcome: Outcome, size: int) -> None:
        """Count a blob."""
        if outcome == "copied":
            self.copied, self.copied_size = self.copied + 1, self.copied_size + size
        else:
            self.present, self.present_size = self.present + 1, self.present_size + size


class BlobCopy:
    """The blobs of the source, and the saver that they are copied to.

    `checksum`: read all of them back, also those that are there already, and copy damaged ones again.
    """

    def __init__(self, source: Source, target: BaseSaver, *, checksum: bool) -> None:
        self._source, self._target, self._checksum = source, target, checksum
        self._ends = threading.Event()

    def copy(self, snapshot: Connection, facts: Facts, report: Report) -> Copied:
        """Copy what the snapshot names. Blobs that are damaged or missing in the source are reported and skipped.

        Raises errors of both savers and of the database.
        """
        done, step = Copied(), _SharedStep(report, f"copying {count_of(facts.blobs, 'blob')}", facts.blobs_size)
        pool = ThreadPoolExecutor(THREADS, "migration")
        try:
            with self._source.blobs(snapshot) as wanted:
                for blob, future in _in_parallel(pool, wanted, lambda blob: self._take(blob, step)):
                    try:
                        done.count(future.result(), blob.size)
                    except Damaged as damage:
                        done.problems.append(self._source.problem(blob.digest, str(damage)))
                        step.report(done.problems[-1])
        finally:
            self._ends.set()
            pool.shutdown(cancel_futures=True)
        if self._checksum:
            done.read_back = done.copied + done.present
        return done

    def _take(self, blob: Wanted, step: "_SharedStep") -> Outcome:
        if self.is_there(blob) and not (self._checksum and not self._is_intact(blob)):
            step.advance(blob.size)
            return "present"
        put_blob(self._target, blob, self._counted(blob, step))
        if self._checksum and not self._is_intact(blob):
            raise errors.StorageFailed(reason=f"{blob.digest} was read back from {self._target.place()} as other bytes")
        return "copied"

    def _counted(self, blob: Wanted, step: "_SharedStep") -> Iterator[bytes]:
        for piece in verified(self._pieces(blob), blob.digest.hex, blob.size):
            if self._ends.is_set():
                raise errors.StorageFailed(reason=_ENDED)
            yield piece
            step.advance(len(piece))

    def _pieces(self, blob: Wanted) -> Iterator[bytes]:
        """Yield the bytes in the source; raise Damaged if the failure of a read is one of this blob."""
        try:
            yield from pieces_in(self._source.saver, blob.digest.hex)
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

    def is_there(self, blob: Wanted) -> bool:
        """Return whether the target has the blob with its size, without reading it."""
        try:
            return self._target.size(blob.digest) == blob.size
        except errors.BlobNotFound:
            return False

    def _is_intact(self, blob: Wanted) -> bool:
        try:
            for _ in verified(pieces_in(self._target, blob.digest.hex), blob.digest.hex, blob.size):
                pass
        except Damaged:
            return False
        return True

    def verify(self, snapshot: Connection, done: Copied, facts: Facts, report: Report) -> int:
        """Check that the target has every blob but those with a problem, and read a sample; return the number read.

        Raises MigrationDiffers.
        """
        step = Step(report, f"verifying {count_of(facts.blobs, 'blob')}", facts.blobs, "blobs")
        known, found, sample = {problem.digest for problem in done.problems}, 0, []
        with self._source.blobs(snapshot) as wanted:
            for number, blob in enumerate(wanted):
                if blob.digest not in known and self.is_there(blob):
                    found += 1
                    if number % (facts.blobs // SAMPLE + 1) == 0 and blob.size <= SAMPLE_SIZE // SAMPLE:
                        sample.append(blob)
                step.advance(1)
        if found + len(known) != facts.blobs:
            missing = facts.blobs - len(known) - found
            reason = f"{count_of(missing, 'blob')} of {facts.blobs} are not in {self._target.place()}"
            raise errors.MigrationDiffers(reason=reason)
        if self._checksum:
            return found
        for blob in sample:
            if not self._is_intact(blob):
                reason = f"{blob.digest} has other bytes in {self._target.place()}; --checksum copies it again"
                raise errors.MigrationDiffers(reason=reason)
        return len(sample)


def put_blob(saver: BaseSaver, blob: Wanted, pieces: Iterable[bytes]) -> None:
    """Store the pieces as the blob, once all of them came; raise what `pieces` raises, and errors of the saver."""
    upload = uuid.uuid4().hex
    if blob.size <= SMALL_PUSH:
        saver.put(b"".join(pieces), blob.digest, upload)
        return
    try:
        with closing(saver.draft(upload)) as draft:
            draft.expect(blob.size)
            for piece in pieces:
                draft.append(piece)
            draft.publish(blob.digest)
    finally:
        saver.discard(upload)


def _in_parallel(
    pool: ThreadPoolExecutor, blobs: Iterable[Wanted], work: Callable[[Wanted], Outcome]
) -> Iterator[tuple[Wanted, Future[Outcome]]]:
    """Yield each blob once its work is done; a few more than there are threads wait at any time."""
    running: dict[Future[Outcome], Wanted] = {}
    for blob in blobs:
        running[pool.submit(work, blob)] = blob
        if len(running) >= 2 * THREADS:
            yield from _ended(running)
    while running:
        yield from _ended(running)


def _ended(running: dict[Future[Outcome], Wanted]) -> Iterator[tuple[Wanted, Future[Outcome]]]:
    for future in wait(running, return_when=FIRST_COMPLETED).done:
        yield running.pop(future), future


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
