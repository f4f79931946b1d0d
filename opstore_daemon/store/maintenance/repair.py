"""Report what is wrong with a blob; with `repair`, move a damaged one out of the way, and mark it or a missing one.

Nothing is deleted. Whatever a push has replaced meanwhile stays: what is moved has to be what was read.
"""

from datetime import UTC, datetime

from sqlalchemy import Connection, Executable, select

from opstore_daemon.metadata.statements import prepared
from opstore_daemon.metadata.tables import Version
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.digests import Digest
from opstore_daemon.protocol.records import Finding
from opstore_daemon.protocol.records.fsck import FindingKind
from opstore_daemon.savers import BaseSaver
from opstore_daemon.store.catalog.damage import Mark
from opstore_daemon.store.maintenance.advice import advice_for
from opstore_daemon.store.maintenance.pages import Page, Problem, versions_of

# Bytes that can't be read now may be intact: they stay, and their blob is not marked.
REPAIRED: frozenset[FindingKind] = frozenset({"missing", "obstructed", "size", "damaged"})


def is_confirmed(page: Page, digest: Digest, problem: Problem) -> bool:
    """Return whether the problem is still there while nobody writes: then no push and no removal explains it."""
    with page.database.read_between_writes() as connection:
        return not is_referenced(connection, digest) or _is_unchanged(page.saver, digest, problem)


def _is_unchanged(saver: BaseSaver, digest: Digest, problem: Problem) -> bool:
    try:
        return saver.examine(digest).state == problem.state
    except errors.BlobNotFound:
        return problem.kind == "missing"
    except errors.Unavailable:
        return problem.kind == "unreadable"


def is_referenced(connection: Connection, digest: str) -> bool:
    """Return whether a version that is not removed has the digest."""
    return _reference(digest=digest).run(connection).first() is not None


@prepared
def _reference(*, digest: str) -> Executable:
    return select(Version.id).where(Version.digest == digest, Version.removed_position.is_(None)).limit(1)


def report(page: Page, digest: Digest, problem: Problem, mark: Mark | None) -> None:
    """Add the finding to the page, and repair it first if the page repairs."""
    observed = problem.observed
    is_marked = mark is not None
    if page.options.repair and problem.kind in REPAIRED:
        try:
            is_marked, moved = _repair(page, digest, problem)
        except errors.Unavailable as error:
            observed = f"{observed}; it could not be marked: {error.text}"
        else:
            observed = f"{observed}; it was moved to the quarantine" if moved else observed
    if mark is not None and problem.kind == "missing":
        earlier = "" if mark.problem == problem.observed else f": {mark.problem}"
        observed = f"{observed}{earlier}, as was found {_date(mark)}"
    with page.database.read() as connection:
        versions, count = versions_of(connection, digest)
        advice = page.database.advice if problem.kind == "row" else advice_for(connection, digest, problem.kind)
    if not count:
        return  # removed meanwhile
    page.add_finding(
        Finding(
            kind=problem.kind,
            what=digest,
            observed=observed,
            advice=advice,
            versions=versions,
            versions_count=count,
            marked=is_marked,
        )
    )


def _repair(page: Page, digest: Digest, problem: Problem) -> tuple[bool, bool]:
    """Move the blob out of the way and mark it; return whether it is marked, and whether it was moved."""
    moved = False

    def work(connection: Connection) -> bool:
        nonlocal moved
        if not is_referenced(connection, digest):
            return False
        if _is_unchanged(page.saver, digest, problem):
            moved = problem.state is not None and page.saver.quarantine(digest, problem.state)
        elif not moved:  # else a full disk refused to mark it, and this is the second attempt
            return False
        page.damage.add(connection, digest, Mark(problem.observed, page.now()))
        return True

    return page.database.write_freeing(work), moved


def report_healed(page: Page, digest: Digest, mark: Mark) -> None:
    """Delete the mark of a blob that was read and is intact, if the page repairs; else say that it is there."""

    def work(connection: Connection) -> None:
        page.damage.heal(connection, digest)

    if page.options.repair:
        page.database.write_freeing(work)
        return
    with page.database.read() as connection:
        versions, count = versions_of(connection, digest)
        if page.damage.find(connection, digest) is None:
            return  # healed meanwhile
    page.add_finding(
        Finding(
            kind="healed",
            what=digest,
            observed=f"its bytes are intact, and it is marked: {mark.problem}, as was found {_date(mark)}",
            advice="opstore fsck --repair removes the mark",
            versions=versions,
            versions_count=count,
            marked=True,
        )
    )


def _date(mark: Mark) -> str:
    return f"on {datetime.fromtimestamp(mark.found_at / 1_000_000, UTC):%Y-%m-%d}"
