"""The history of the journal, and reads for the web page: overview, search and the matrix of an edge."""

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.names import Name, OpName
from opstore_daemon.protocol.records import Journal, JournalEntry, OpVersion, VersionDetails, VersionRecord
from opstore_daemon.protocol.references import Reference
from opstore_daemon.store.catalog import ops, pipelines
from opstore_daemon.store.catalog.ops import OpLine
from opstore_daemon.store.paging import check_limit, next_cursor
from opstore_daemon.store.places import never
from opstore_daemon.store.reports import history, matrix, overview
from opstore_daemon.store.reports.details import details
from opstore_daemon.store.reports.folder import FolderListing, folder_listing
from opstore_daemon.store.reports.folder_comparison import FolderComparison, compare_folders
from opstore_daemon.store.reports.history import Entry
from opstore_daemon.store.reports.matrix import Matrix, Run
from opstore_daemon.store.reports.op_list import OpList, op_list
from opstore_daemon.store.reports.overview import PipelineLine, SearchResults
from opstore_daemon.store.reports.version_list import Choice, VersionList, version_list
from opstore_daemon.store.transactions import Transactions


class ReportOperations(Transactions):
    """Read the journal, and what the page shows and no command prints."""

    def log(self, name: str | None = None, *, limit: int | None = None) -> list[JournalEntry]:
        """Return the journal, newest first (protocol.interface)."""
        return list(self.journal_page(name, None, check_limit(limit)).entries)

    def details(self, reference: str | Reference, *, as_of: str | None = None) -> VersionDetails:
        """Return a version and what surrounds it (protocol.interface)."""
        parsed = Reference.parse(reference)
        with self._snapshot(as_of) as snapshot:
            return details(snapshot, parsed)

    def journal_page(self, name: str | None, below: int | None, limit: int) -> Journal:
        """Return a page of the journal, newest first: at most `limit` entries below a position."""
        parsed = None if name is None else Name.parse(name)
        with self._snapshot() as snapshot:
            page = tuple(_to_record(entry) for entry in history.entries(snapshot, below, limit, parsed))
        return Journal(entries=page, next_cursor=next_cursor(page, limit, lambda entry: str(entry.position)))

    def op_lines(self, after: str, limit: int, as_of: str | None = None) -> list[OpLine]:
        """Return ops by name with their latest versions: at most `limit` ops after the name `after`."""
        with self._snapshot(as_of) as snapshot:
            return ops.lines(snapshot, after, limit)

    def op_list(self, text: str, sort: str, skip: int, limit: int, as_of: str | None = None) -> OpList:
        """Return ops with the text in name or description, in the order `sort` (store.reports.op_list)."""
        with self._snapshot(as_of) as snapshot:
            return op_list(snapshot, text, sort, skip, limit)

    def pipeline_lines(self, after: str, limit: int, as_of: str | None = None) -> list[PipelineLine]:
        """Return pipelines by name with their verdicts: at most `limit` pipelines after the name `after`.

        Raises TooManySearches: the verdict of a large pipeline takes as long as a search.
        """

        def too_hard(limit: str, _ops: list[str]) -> errors.TooMuchWork:
            return errors.TooMuchWork(question="to validate the pipelines", limit=limit)

        with self._search_snapshot(as_of) as snapshot, self.searches.budget(never, too_hard) as budget:
            return overview.pipeline_lines(snapshot, after, limit, budget)

    def has_pipelines_after(self, name: str, as_of: str | None = None) -> bool:
        """Return whether there are pipelines whose names come after this one."""
        with self._snapshot(as_of) as snapshot:
            return bool(pipelines.records(snapshot, name, 1))

    def version_list(self, op: str, choice: Choice, limit: int, as_of: str | None = None) -> VersionList:
        """Return versions of an op with their verdicts against its neighbours; raise OpNotFound."""
        name = OpName.parse(op)
        with self._snapshot(as_of) as snapshot:
            return version_list(snapshot, name, choice, limit)

    def folder(self, version: VersionRecord) -> FolderListing | None:
        """Return the entries of a version that is a folder, without reading the contents of its files; else None."""
        return folder_listing(self.saver, version)

    def compare_folders(self, one: VersionRecord, other: VersionRecord) -> FolderComparison | None:
        """Return what differs between two folders (store.reports.folder_comparison); None unless both are folders."""
        return compare_folders(self.saver, one, other)

    def search(self, text: str, as_of: str | None = None) -> SearchResults:
        """Return what has the text in a name, a message or a label, and versions with that reference or digest."""
        with self._snapshot(as_of) as snapshot:
            return overview.search(snapshot, text)

    def entries(self, below: int | None, limit: int, as_of: str | None = None, name: Name | None = None) -> list[Entry]:
        """Return entries of the journal, newest first: at most `limit` entries below a position (reports.history)."""
        with self._snapshot(as_of) as snapshot:
            return history.entries(snapshot, below, limit, name)

    def matrix(
        self, upstream: str, downstream: str, row: int | None, column: int | None, as_of: str | None = None
    ) -> Matrix:
        """Return the verdicts of an edge with their reasons (store.reports.matrix)."""
        up, down = OpName.parse(upstream), OpName.parse(downstream)
        with self._snapshot(as_of) as snapshot:
            return matrix.matrix(snapshot, up, down, row, column)

    def matrix_map(
        self, upstream: str, downstream: str, row: int | None, column: int | None, as_of: str | None = None
    ) -> list[Run]:
        """Return the verdicts of an edge without reasons (store.reports.matrix)."""
        up, down = OpName.parse(upstream), OpName.parse(downstream)
        with self._snapshot(as_of) as snapshot:
            return matrix.matrix_map(snapshot, up, down, row, column)


def _to_record(entry: Entry) -> JournalEntry:
    return JournalEntry(
        position=entry.position,
        registered_at=entry.at,
        author=entry.author,
        action=entry.action,
        versions=tuple(OpVersion(op=subject.op, version=subject.number) for subject in entry.subjects),
        pipeline=entry.pipeline,
        text=entry.text,
        labels=dict(entry.labels),
    )
