"""Which uploads have expired, and which drafts belong to none."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import NamedTuple

from opstore_daemon.metadata import Database
from opstore_daemon.protocol import errors
from opstore_daemon.savers import BaseSaver
from opstore_daemon.store.ingest import upload_rows
from opstore_daemon.store.ingest.open_uploads import OpenUploads

TOUCH_INTERVAL = 3600 * 1_000_000  # microseconds between updates of the time of the last request
RETENTION = 7 * 24 * 3600 * 1_000_000  # microseconds without a request after which an upload is discarded
EXPIRED_AT_ONCE = 1000  # uploads that one request discards


class ByAge(NamedTuple):
    """Some of the uploads: those that no request has used for RETENTION, and those that can be resumed."""

    expired: list[str]
    unfinished: list[str]


class ExpiringUploads(ABC):
    """The uploads of a store by the time of their last request, which the row of an upload has."""

    def __init__(self, database: Database, saver: BaseSaver, now: Callable[[], int]) -> None:
        """`now` returns the time in microseconds since the epoch."""
        self._database, self._saver, self._now = database, saver, now
        self.opened = OpenUploads()
        self._small: set[str] = set()  # the drafts of small pushes, which have no row
        self._expired_at = 0

    @abstractmethod
    def end_all(self, uploads: Sequence[str]) -> bool:
        """Discard uploads; return whether their rows are deleted."""

    def expire(self) -> int:
        """Discard uploads that no request has used for RETENTION, at most EXPIRED_AT_ONCE; return how many there were.

        If there may be more, the next new upload continues. Whatever the clock says, an upload that receives bytes
        stays, and one from a time when the clock was ahead expires RETENTION after this call.
        """
        now = self._now()
        self._touch_receiving()
        with self._database.read() as connection:
            found = upload_rows.untouched(EXPIRED_AT_ONCE, since=now - RETENTION).run(connection).scalars().all()
        self.correct_times()
        if len(found) < EXPIRED_AT_ONCE:
            self._expired_at = now
        expired = [upload for upload in found if not self.opened.is_receiving(upload)]
        return len(expired) if self.end_all(expired) else 0

    def correct_times(self) -> None:
        """Let uploads from a time when the clock was ahead expire RETENTION after this call."""
        now = self._now()
        with self._database.read() as connection:
            ahead = upload_rows.touched_later(time=now + TOUCH_INTERVAL).run(connection).first() is not None
        if ahead:
            with suppress(errors.Unavailable), self._database.write(ordered=False) as connection:
                upload_rows.touch_later(time=now + TOUCH_INTERVAL, now=now).run(connection)

    def by_age(self) -> Iterator[ByAge]:
        """Yield all uploads, EXPIRED_AT_ONCE at a time."""
        after, oldest = "", self._now() - RETENTION
        while True:
            with self._database.read() as connection:
                rows = upload_rows.ages(EXPIRED_AT_ONCE, after=after).run(connection).all()
            if not rows:
                return
            after = rows[-1].id
            expired = [row.id for row in rows if row.touched_at < oldest and not self.opened.is_receiving(row.id)]
            yield ByAge(expired, [row.id for row in rows if row.id not in set(expired)])

    def orphans(self) -> list[str]:
        """Return the drafts that belong to no upload, and to no small push of this process.

        They are listed before the rows: the row of an upload is committed before its draft is made. No id is ever used
        twice, so what is found here may be discarded later.
        """
        drafts = list(self._saver.drafts())
        with self._database.read() as connection:
            known = set(connection.execute(upload_rows.all_ids()).scalars())
        return [draft for draft in drafts if draft not in known and draft not in self._small]

    def sweep(self, *, drafts: bool = True) -> None:
        """Discard expired uploads and the drafts that a crash left without an upload; call before the first request.

        Without `drafts` the latter stay: they may be those of another store.
        """
        while self.expire() == EXPIRED_AT_ONCE:
            pass
        if drafts:
            for upload in self.orphans():
                self._saver.discard(upload)

    def _touch_receiving(self) -> None:
        """Record that requests of this process append to uploads: another daemon does not see that."""
        receiving = self.opened.receiving() if self._saver.needs_records else ()
        if receiving:
            with suppress(errors.Unavailable), self._database.write(ordered=False) as connection:
                for upload in receiving:
                    upload_rows.touch(upload=upload, now=self._now()).run(connection)

    def _is_old(self, time: int) -> bool:
        """Return whether a time is an hour away or more, also after now: the clock may have been set back."""
        return abs(self._now() - time) > TOUCH_INTERVAL
