"""The history of a pipeline's set, and bisections, which find the entry in it that broke the pipeline."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise

from sqlalchemy import Connection

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.digests import Digest
from opstore_daemon.protocol.names import PipelineName
from opstore_daemon.protocol.records import BisectionRecord, Bisections, NewBisection, OpVersion, SetHistory
from opstore_daemon.rules.budget import Budget
from opstore_daemon.store import journal
from opstore_daemon.store.catalog import bisections, pipelines, runs
from opstore_daemon.store.catalog.bisections import MAX_BISECTIONS, BisectionRow
from opstore_daemon.store.operations.runs import check_command
from opstore_daemon.store.paging import NO_LIMIT, check_limit, collect, next_cursor
from opstore_daemon.store.places import IsCancelled, never
from opstore_daemon.store.reports import history, set_history
from opstore_daemon.store.reports.set_history import History
from opstore_daemon.store.snapshot import Snapshot
from opstore_daemon.store.snapshot import as_of as snapshot_as_of
from opstore_daemon.store.transactions import Transactions


class BisectionOperations(Transactions):
    """Read how a set changed; record bisections, and list them."""

    def set_history(self, pipeline: str, *, since: str | None = None, until: str | None = None) -> SetHistory:
        """Return how the latest versions of the pipeline's ops changed (protocol.interface)."""
        return self.set_history_page(pipeline, None, NO_LIMIT, since=since, until=until)

    def set_history_page(
        self,
        pipeline: str,
        after: int | None,
        limit: int,
        *,
        since: str | None = None,
        until: str | None = None,
        is_cancelled: IsCancelled = never,
    ) -> SetHistory:
        """Return a page of that history, oldest first: at most `limit` changes after a position.

        Stops once `is_cancelled` returns True.
        """
        name = PipelineName.parse(pipeline)
        with self._search_snapshot() as snapshot, self._following(name, is_cancelled) as budget:
            graph = pipelines.get(snapshot, name)
            last = snapshot_as_of(snapshot.connection, until).last_position()
            first = 0 if since is None else snapshot_as_of(snapshot.connection, since).last_position()
            if first > last:
                raise errors.InvalidRequest(reason=f"the history would end at {last}, before it begins at {first}")
            found = set_history.read(snapshot, graph.ops, last, budget)
            changes = found.after(max(first, after or 0))[:limit]
            return SetHistory(
                pipeline=name,
                edges=graph.edges,
                since=first,
                until=last,
                versions=found.latest(first),
                changes=tuple(set_history.describe(snapshot, found, changes)),
                next_cursor=next_cursor(changes, limit, lambda change: str(change.position)),
            )

    def record_bisection(
        self, pipeline: str, new_bisection: NewBisection, *, is_cancelled: IsCancelled = never
    ) -> BisectionRecord:
        """Record the result of a bisection (protocol.interface)."""
        name = PipelineName.parse(pipeline)
        _check_positions(new_bisection)
        earlier = self._earlier_result(BisectionRecord)
        if earlier is not None:
            return earlier
        # Before the transaction, because it may take long: what has happened until `bad` does not change any more.
        with self._search_snapshot() as snapshot, self._following(name, is_cancelled) as budget:
            last = snapshot.last_position()
            if new_bisection.bad > last:
                reason = f"position {new_bisection.bad} does not exist: the journal's last position is {last}"
                raise errors.InvalidRequest(reason=reason)
            graph = pipelines.get(snapshot, name)
            found = set_history.read(snapshot, graph.ops, new_bisection.bad, budget)
        broken = _check_changes(found, new_bisection)

        def work(connection: Connection) -> BisectionRecord:
            snapshot = Snapshot(connection)
            if pipelines.get(snapshot, name).position != graph.position:
                raise errors.PipelineChanged(pipeline=name, difference="it was registered again")
            unknown = set(new_bisection.runs) - runs.runs_of(snapshot, name, new_bisection.runs)
            if unknown:
                raise errors.InvalidRequest(reason=f"there is no run of {name} at position {min(unknown)}")
            row = bisections.record(
                connection, name, new_bisection, broken, found.latest(new_bisection.last_good), self._stamp()
            )
            return _records(snapshot, [row])[0]

        return self._write(BisectionRecord, work)

    def bisections(self, pipeline: str | None = None, *, limit: int | None = None) -> list[BisectionRecord]:
        """Return bisections, newest first (protocol.interface)."""

        def fetch(below: int | None, most: int) -> tuple[Sequence[BisectionRecord], str | None]:
            page = self.bisections_page(pipeline, below, most)
            return page.rows, page.next_cursor

        return collect(fetch, check_limit(limit))

    def bisections_page(
        self, pipeline: str | None, below: int | None, limit: int, *, as_of: str | None = None
    ) -> Bisections:
        """Return a page of bisections, newest first: at most `limit` below a position, and at most MAX_BISECTIONS."""
        name = None if pipeline is None else PipelineName.parse(pipeline)
        most = min(limit, MAX_BISECTIONS)
        with self._snapshot(as_of) as snapshot:
            if name is not None:
                pipelines.check_known(snapshot, name)
            page = _records(snapshot, bisections.rows(snapshot, name, below, most))
        return Bisections(bisections=tuple(page), next_cursor=next_cursor(page, most, lambda each: str(each.position)))

    @contextmanager
    def _following(self, pipeline: PipelineName, is_cancelled: IsCancelled) -> Iterator[Budget]:
        """Yield the budget for reading the history of a pipeline; raise TooMuchWork beyond it."""

        def too_hard(limit: str, _ops: list[str]) -> errors.TooMuchWork:
            return errors.TooMuchWork(question=f"to follow the versions of {pipeline}", limit=limit)

        with self.searches.budget(is_cancelled, too_hard) as budget:
            yield budget


def _check_positions(new: NewBisection) -> None:
    """Raise InvalidRequest unless the positions are in their order."""
    check_command(new.command)
    if new.script is not None:
        Digest.parse(new.script)
    if not 1 <= new.good <= new.last_good < new.first_bad <= new.bad:
        order = "1 <= good <= last_good < first_bad <= bad"
        found = f"{new.good}, {new.last_good}, {new.first_bad} and {new.bad}"
        raise errors.InvalidRequest(reason=f"the positions of a bisection are in the order {order}, not {found}")
    bounds = (new.last_good, *new.skipped, new.first_bad)
    if any(one >= other for one, other in pairwise(bounds)):
        reason = "the skipped positions of a bisection are in order, after last_good and before first_bad"
        raise errors.InvalidRequest(reason=reason)


def _check_changes(found: History, new: NewBisection) -> OpVersion:
    """Return the version that the first bad entry made the latest one.

    Raises InvalidRequest unless that entry and the skipped ones changed the set, and the sets of `last_good` and
    `first_bad` are complete.
    """
    changes = {change.position: change for change in found.changes}
    for position in (*new.skipped, new.first_bad):
        if position not in changes:
            raise errors.InvalidRequest(reason=f"position {position} changed no latest version of the pipeline")
    for position in (new.last_good, new.first_bad):
        for each in found.latest(position):
            if each.version is None:
                reason = f"{each.op} has no version as of position {position}: nothing could be run"
                raise errors.InvalidRequest(reason=reason)
    broken = changes[new.first_bad]
    return OpVersion(op=broken.op, version=found.number(broken.op, broken.sequence))


def _records(snapshot: Snapshot, rows: Sequence[BisectionRow]) -> list[BisectionRecord]:
    """Return the records of these bisections, with what the journal says about each first bad entry."""
    entries = history.at(snapshot, [row.first_bad for row in rows])
    return [
        BisectionRecord(
            position=row.position,
            registered_at=journal.to_datetime(row.at),
            author=row.author,
            pipeline=row.pipeline,
            command=row.command,
            script=row.script,
            good=row.good,
            bad=row.bad,
            last_good=row.last_good,
            first_bad=row.first_bad,
            skipped=row.skipped,
            runs=row.runs,
            culprit=set_history.record(entry, row.op, row.version),
            last_good_versions=row.last_good_versions,
        )
        for row, entry in zip(rows, entries, strict=True)
    ]
