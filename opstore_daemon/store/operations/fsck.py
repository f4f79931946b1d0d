"""The check of the store (`fsck`): in pages, each of them bounded work in short transactions.

The checks follow each other in the order of CHECKS. The cursor of a page is the name of its check and, behind a colon,
where that one continues. Nothing is remembered between two pages, so a check can be given up at any of them.
"""

import re
from collections.abc import Callable, Generator, Iterator
from contextlib import closing

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.records import FsckPage, FsckReport
from opstore_daemon.protocol.records.fsck import FsckCheck
from opstore_daemon.protocol.subsets import Subset
from opstore_daemon.store.maintenance.blob_checks import check_blobs
from opstore_daemon.store.maintenance.database_checks import check_database
from opstore_daemon.store.maintenance.journal_checks import check_journal
from opstore_daemon.store.maintenance.pages import FsckOptions, Page, Steps
from opstore_daemon.store.maintenance.storage_checks import check_storage
from opstore_daemon.store.maintenance.version_checks import check_versions
from opstore_daemon.store.operations.ingest import IngestOperations
from opstore_daemon.store.places import IsCancelled, Places, check_client, never

CHECKS: dict[FsckCheck, Callable[[Page, str], Steps]] = {
    "database": check_database,
    "journal": check_journal,
    "versions": check_versions,
    "blobs": check_blobs,
    "storage": check_storage,
}
_BEGINS: dict[FsckCheck, re.Pattern[str]] = {
    "database": re.compile(""),
    "journal": re.compile("[1-9][0-9]{0,17}"),
    "versions": re.compile("[0-9]{1,18}/[0-9]{1,18}"),
    "blobs": re.compile("sha256:[0-9a-f]{64}"),
}


class PageSteps:
    """A page that is being made: iterate over it, then `close` it.

    It yields None now and then, so that the caller can keep a connection alive meanwhile, and then the page. Once its
    client is gone, it ends without the page.
    """

    def __init__(self, page: Page, check: FsckCheck, begin: str, places: Places) -> None:
        """Take a place; raise TooManyReads, and ConnectionLost if the client goes meanwhile."""
        self._page, self._check, self._begin = page, check, begin
        self._places: Places | None = places
        places.enter(lambda: check_client(page.is_cancelled))
        self._steps = self._make()

    @property
    def bytes_read(self) -> int:
        """How many bytes of blobs it has read so far."""
        return self._page.bytes_read

    def _make(self) -> Generator[FsckPage | None, None, None]:
        page, following = self._page, None
        steps = CHECKS[self._check](page, self._begin)
        try:
            while True:
                try:
                    next(steps)
                except StopIteration as end:
                    following = end.value
                    break
                yield None
        except errors.ConnectionLost:
            return
        except errors.Unavailable as error:
            self._add_failure(error)
        finally:
            steps.close()
        yield FsckPage(
            check=self._check,
            findings=page.finish(),
            blobs=page.blobs,
            bytes_read=page.bytes_read,
            garbage=page.garbage,
            garbage_size=page.garbage_size,
            blobs_total=page.blobs_total,
            bytes_total=page.bytes_total,
            next_cursor=_next_cursor(self._check, following),
        )

    def _add_failure(self, error: errors.OpStoreError) -> None:
        """Add the finding that a check can't go on. The others may: each says more about what is damaged."""
        if self._page.database.is_damage(error):
            self._page.add("database", f"the check of the {self._check}", error.text, self._page.database.advice)
        else:
            self._page.add("unreadable", f"the check of the {self._check}", error.text, error.advice or "opstore logs")

    def __iter__(self) -> Iterator[FsckPage | None]:
        return self._steps

    def close(self) -> None:
        """Give the place back. Closing twice is allowed."""
        self._steps.close()
        places, self._places = self._places, None
        if places is not None:
            places.leave()


def _next_cursor(check: FsckCheck, following: str | None) -> str | None:
    if following is not None:
        return f"{check}:{following}"
    checks = list(CHECKS)
    place = checks.index(check) + 1
    return checks[place] if place < len(checks) else None


class FsckOperations(IngestOperations):
    """Check the store."""

    def fsck_page(self, cursor: str | None, options: FsckOptions, is_cancelled: IsCancelled = never) -> PageSteps:
        """Check a part of the store: the first one, or (`cursor`) the one after that of an earlier page.

        Raises InvalidRequest for any other cursor, TooManyReads, and ConnectionLost once `is_cancelled` returns True.
        """
        check, begin = self._parse(cursor or "database")
        page = Page(self.database, self.saver, self.damage, options, self._now, is_cancelled)
        return PageSteps(page, check, begin, self.reads)

    def _parse(self, cursor: str) -> tuple[FsckCheck, str]:
        """Return the check and where it continues, empty at its start; raise InvalidRequest."""
        name, _, begin = cursor.partition(":")
        for check in CHECKS:
            form = _BEGINS.get(check)
            is_begin = begin in self.saver.parts() if form is None else form.fullmatch(begin)
            if name == check and (not begin or is_begin):
                return check, begin
        raise errors.InvalidRequest(reason=f"{cursor[:60]!r} is not the cursor of a check")

    def fsck(
        self,
        *,
        read_data: bool = False,
        subset: str | None = None,
        rate: int | None = None,
        repair: bool = False,
    ) -> FsckReport:
        """Check the whole store (protocol.interface)."""
        options = FsckOptions(read_data, None if subset is None else Subset.parse(subset), rate, repair)
        return FsckReport.of(self._pages(options))

    def _pages(self, options: FsckOptions) -> Iterator[FsckPage]:
        cursor: str | None = ""
        while cursor is not None:
            with closing(self.fsck_page(cursor or None, options)) as steps:
                page = next(page for page in steps if page is not None)
            yield page
            cursor = page.next_cursor
