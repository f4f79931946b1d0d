"""Check the store, page by page."""

from collections.abc import Callable, Iterator, Mapping

from opstore_cli.client.mixin import ApiMixin, ignore
from opstore_cli.transfer.retry import RETRYABLE, RetryBudget
from opstore_cli.transport import expected
from opstore_daemon.protocol import errors, routes
from opstore_daemon.protocol.limits import READ_SIZE
from opstore_daemon.protocol.records import FsckPage, FsckReport
from opstore_daemon.protocol.subsets import Subset

Notify = Callable[[FsckPage], object]


class FsckMixin(ApiMixin):
    """The check of the store."""

    def fsck(
        self,
        *,
        read_data: bool = False,
        subset: str | None = None,
        rate: int | None = None,
        repair: bool = False,
        notify: Notify = ignore,
    ) -> FsckReport:
        """Check the whole store: the database, the journal, the versions, their blobs and the storage.

        It changes nothing unless you pass `repair`, and it runs beside pushes, pulls and removals: what they change
        meanwhile is no finding.

        Args:
            read_data: also read the bytes of all blobs, and compare them with their digests.
            subset: read the bytes of a part of the blobs: `"1/7"` is the first of seven parts, so that seven runs read
                each blob once.
            rate: the maximum number of bytes to read in a second.
            repair: move damaged blobs to the quarantine, and mark damaged and missing ones, so that a pull says so
                before it sends anything. Pushing the same bytes again heals them. Needs a token with the scope admin.
            notify: a function that is called with each page of the check as it arrives.

        Returns:
            FsckReport: true only if the store is clean; a sequence of the findings, each with the command that helps.

        Raises:
            InvalidRequest: `subset` is not a subset, or `rate` is below 1.
            TooManyReads: the daemon has too many other checks and long reads to do.
            ScopeRequired: the token may not repair.

        Examples:
            >>> report = client.fsck(read_data=True)
            >>> report.clean, len(report)
            (True, 0)
        """
        if rate is not None and rate < 1:
            raise errors.InvalidRequest(reason="the rate must be at least 1 byte in a second")
        parameters = {
            "data": 1 if read_data else None,
            "subset": None if subset is None else Subset.parse(subset),
            "rate": rate,
        }
        with self._show_progress("fsck") as moved:
            return FsckReport.of(self._fsck_pages("POST" if repair else "GET", parameters, notify, moved))

    def _fsck_pages(
        self,
        method: str,
        parameters: Mapping[str, object],
        notify: Notify,
        moved: Callable[[int, int | None], object],
    ) -> Iterator[FsckPage]:
        """Request the pages one after another. The daemon remembers nothing between two, so each can be repeated."""
        cursor: str | None = None
        place: expected.Place = ()
        done, total, pages = 0, None, 0
        retries = RetryBudget(pages)

        def read(lines: int) -> None:
            if total and lines:
                moved(min(done + lines * READ_SIZE, total), total)

        while True:
            try:
                query = {**parameters, "cursor": cursor}
                page = self._api.watched(method, routes.FSCK, FsckPage, query, read)
            except RETRYABLE as failure:
                retries.wait(failure)
                continue
            pages += 1
            retries.progressed_to(pages)
            done += page.bytes_read
            total = page.bytes_total if page.bytes_total is not None else total
            if total and page.bytes_read:
                moved(min(done, total), total)
            notify(page)
            yield page
            if page.next_cursor is None:
                return
            following = expected.fsck_place(page.next_cursor)
            if following is None or following <= place:
                raise self._api.unexpected(f"the cursor {page.next_cursor[:100]!r}", f"{method} {routes.FSCK}")
            cursor, place = page.next_cursor, following
