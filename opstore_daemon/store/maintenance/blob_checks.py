"""The check of the blobs that versions refer to: each is there and has its size and, if it is read, its digest.

What changes meanwhile is no finding: a suspect is looked at again while nobody writes, and if the bytes were replaced
since they were read, they are read again.
"""

from collections.abc import Generator
from contextlib import closing, suppress
from typing import NamedTuple

from sqlalchemy import Executable, func, select

from opstore_daemon.metadata.statements import prepared
from opstore_daemon.metadata.tables import Version
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.digests import Digest, digest_of, new_hash
from opstore_daemon.protocol.limits import READ_SIZE
from opstore_daemon.savers import BaseSaver
from opstore_daemon.store.catalog.damage import Mark
from opstore_daemon.store.maintenance import repair
from opstore_daemon.store.maintenance.pages import Page, Problem, Steps

BLOBS = 500  # that one page looks at
BYTES = 64 * 1024 * 1024  # after which a page ends: a larger blob is a page of its own
TRIES = 3  # how often a blob is read whose bytes are replaced meanwhile


_SIZES = (Version.digest, func.min(Version.size), func.max(Version.size))


class _Blob(NamedTuple):
    """A blob that versions refer to: the smallest and the largest size that they have for it, and its mark."""

    digest: Digest
    size: int
    other_size: int
    mark: Mark | None


def check_blobs(page: Page, begin: str) -> Steps:
    """Look at blobs by digest, and read those that are to be read, and the marked ones."""
    if not begin:
        page.damage.reload()
    first, end = page.options.bounds()
    limit = BYTES if page.options.rate is None else min(BYTES, page.options.rate)
    blobs = _blobs(page, begin)
    # These are compared by the check of the storage.
    surveyed = page.saver.find([blob.digest for blob in blobs]) if page.saver.survey_compares else {}
    for blob in blobs:
        page.check_client()
        reads = first <= blob.digest < end or blob.mark is not None
        if reads or blob.digest not in surveyed or surveyed[blob.digest].size != blob.size:
            yield from _check(page, blob, reads=reads)
        if blob.size != blob.other_size:
            observed = f"its versions have the sizes {blob.size} and {blob.other_size}"
            page.add("row", blob.digest, observed, page.database.advice)
        page.blobs += 1
        if page.bytes_read >= limit:
            return blob.digest
    return blobs[-1].digest if len(blobs) == BLOBS else None


def check_suspect(page: Page, digest: Digest) -> Generator[None, None, None]:
    """Look at a blob of a survey, unless `check_blobs` has, or no version needs it."""
    first, end = page.options.bounds()
    if first <= digest < end:
        return
    with page.database.read() as connection:
        row = _one(digest=digest).run(connection).one_or_none()
        mark = page.damage.find(connection, digest)
    if row is not None and mark is None:
        yield from _check(page, _Blob(digest, row[1], row[2], None), reads=False)


def _check(page: Page, blob: _Blob, *, reads: bool) -> Generator[None, None, None]:
    """Look at a blob, and report what is wrong with it, or that it is intact again."""
    problem = yield from _look(page, blob, reads=reads)
    if problem is not None:
        repair.report(page, blob.digest, problem, blob.mark)
    elif blob.mark is not None:
        repair.report_healed(page, blob.digest, blob.mark)


def _blobs(page: Page, after: str) -> list[_Blob]:
    with page.database.read() as connection:
        rows = _page(BLOBS, after=after).run(connection).all()
        marks = page.damage.among(connection, [row[0] for row in rows])
    return [_Blob(Digest(row[0]), row[1], row[2], marks.get(row[0])) for row in rows]


@prepared
def _page(limit: int, *, after: str) -> Executable:
    found = select(*_SIZES).where(Version.digest > after, Version.removed_position.is_(None))
    return found.group_by(Version.digest).order_by(Version.digest).limit(limit)


@prepared
def _one(*, digest: str) -> Executable:
    found = select(*_SIZES).where(Version.digest == digest, Version.removed_position.is_(None))
    return found.group_by(Version.digest)


def _look(page: Page, blob: _Blob, *, reads: bool) -> Generator[None, None, Problem | None]:
    """Return what is wrong with the blob, None if nothing is."""
    for _ in range(TRIES):
        problem = None if reads else examine(page.saver, blob)
        if reads or (problem is not None and problem.kind == "size"):
            problem = yield from _read(page, blob)
        if problem is None or repair.is_confirmed(page, blob.digest, problem):
            return problem
    return None  # pushes replace it all the time


def examine(saver: BaseSaver, blob: _Blob) -> Problem | None:
    """Return what is wrong with the blob without reading it, None if nothing is."""
    try:
        stored = saver.examine(blob.digest)
    except errors.BlobNotFound:
        return Problem("missing", "it is gone")
    except errors.Unavailable as error:
        return _unreadable(saver, error)
    if stored.problem is not None:
        return Problem("obstructed" if stored.is_other else "unreadable", stored.problem, stored.state)
    if stored.size != blob.size:
        return Problem("size", f"it has {stored.size} bytes instead of {blob.size}", stored.state)
    return None


def _unreadable(saver: BaseSaver, error: errors.Unavailable, state: str | None = None) -> Problem:
    """Return the problem of a blob that can't be read. Raises what `raise_outage` raises."""
    raise_outage(saver, error)
    return Problem("unreadable", error.text, state)


def raise_outage(saver: BaseSaver, error: errors.Unavailable) -> None:
    """Raise ObjectStoreFailed if the object store fails altogether: that is one finding, and says nothing of blobs."""
    if isinstance(error, errors.ObjectStoreFailed):
        with suppress(errors.StoreIdDamaged):
            saver.store_id()


def _read(page: Page, blob: _Blob) -> Generator[None, None, Problem | None]:
    """Return what is wrong with the blob after its bytes were read, None if nothing is.

    Of two sizes that differ, the one in the database may be wrong: bytes that match their digest are intact.
    """
    problem = examine(page.saver, blob)
    if problem is not None and problem.kind != "size":
        return problem
    size = READ_SIZE if problem is not None else min(READ_SIZE, max(blob.size, 1))
    buffer, hash_, state = memoryview(bytearray(size)), new_hash(), None
    try:
        state = page.saver.examine(blob.digest).state
        with closing(page.saver.open(blob.digest)) as file:
            while count := file.readinto(buffer):  # type: ignore[attr-defined]
                hash_.update(buffer[:count])
                yield from page.count(count)
    except errors.BlobNotFound:
        return Problem("missing", "it is gone")
    except errors.Unavailable as error:
        return _unreadable(page.saver, error, state)
    if digest_of(hash_) != blob.digest:
        return problem or Problem("damaged", "its bytes do not match its digest", state)
    if problem is None:
        return None
    return Problem("row", f"its bytes are intact, and its size in the database is wrong: {problem.observed}", state)
