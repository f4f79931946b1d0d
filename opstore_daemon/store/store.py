"""The store: every verb as one transaction over metadata and savers.

How a verb becomes one transaction:

1. An operation (operations/, by noun) parses names and references. No function below it takes them as text.
2. A read opens a Snapshot (snapshot.py): the current state or a past one, which the same queries read.
3. A write passes a function to Transactions._write (transactions.py), which runs it under the database's write lock.
   If the request has an idempotency key, its result is saved in the same transaction, and a repetition returns it.
4. The modules of catalog/ read and record facts by noun. Each change appends an entry to the journal (journal.py),
   whose position orders all commits, and marks the ops whose verdicts it may change (catalog.ops.touch).
5. Bytes come first: ingest/ publishes a blob, then one short transaction makes its version. If that is refused, the
   blob is deleted.
6. validity/ applies opstore_daemon.rules to a snapshot; reports/ reads what only the page shows.
"""

from collections.abc import Sequence
from contextlib import closing, suppress
from datetime import timedelta

from sqlalchemy import func, select

from opstore_daemon.metadata.migrate import schema_too_new
from opstore_daemon.metadata.tables import Counter, Op, Version
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.digests import Digest
from opstore_daemon.protocol.labels import LabelFilter
from opstore_daemon.protocol.records import BlobRecord, Blobs, DirectBytes, VersionRecord, Versions
from opstore_daemon.protocol.references import Reference
from opstore_daemon.protocol.samples import Sample
from opstore_daemon.savers.direct import LIFETIME, DirectSaver
from opstore_daemon.store.blob_reader import BlobReader
from opstore_daemon.store.catalog import ops, references, version_rows, versions
from opstore_daemon.store.catalog.label_filters import with_labels
from opstore_daemon.store.long_reads import BlobVerification
from opstore_daemon.store.operations.bisections import BisectionOperations
from opstore_daemon.store.operations.catalog import CatalogOperations
from opstore_daemon.store.operations.collection import CollectionOperations
from opstore_daemon.store.operations.fsck import FsckOperations
from opstore_daemon.store.operations.removal import RemovalOperations
from opstore_daemon.store.operations.reports import ReportOperations
from opstore_daemon.store.operations.runs import RunOperations
from opstore_daemon.store.operations.validity import ValidityOperations
from opstore_daemon.store.paging import check_limit, next_cursor
from opstore_daemon.store.places import IsCancelled, never
from opstore_daemon.store.snapshot import NOW
from opstore_daemon.store.validity import verdicts
from opstore_daemon.store.validity.verdicts import Selection


class Store(
    CollectionOperations,
    FsckOperations,
    CatalogOperations,
    ValidityOperations,
    RunOperations,
    BisectionOperations,
    RemovalOperations,
    ReportOperations,
):
    """An op store (protocol.interface) on a database and a saver."""

    def check(self) -> None:
        """Raise Unavailable if the database or the saver does not respond, or is not the one that was opened.

        That includes SchemaTooNew: a later release has upgraded the database, and this one can't write to it any more.
        """
        with self.database.read() as connection:
            oldest_schema = connection.execute(select(Counter.oldest_schema)).scalar_one()
        if oldest_schema > self._newest_schema:
            raise schema_too_new(oldest_schema, None)
        self.database.verify()
        self.saver.check_reachable()
        self.saver.check_place()

    def sizes(self) -> dict[str, int | None]:
        """Return the numbers of ops and versions, and the bytes of the database's files and of all their blobs."""
        kept = NOW.not_removed()
        blobs = select(Version.digest, Version.size).where(Version.digest.is_not(None), kept).distinct().subquery()
        ops_, versions_ = select(func.count()).select_from(Op), select(func.count()).select_from(Version)
        with self.database.read() as connection:
            return {
                "ops": connection.execute(ops_.where(NOW.exists(Op))).scalar_one(),
                "versions": connection.execute(versions_.where(kept)).scalar_one(),
                "blobs_size": int(connection.execute(select(func.sum(blobs.c.size))).scalar() or 0),
                "database_size": self.database.size(),
            }

    def show(self, reference: str | Reference, *, as_of: str | None = None) -> VersionRecord:
        """Return the record of one version (protocol.interface)."""
        parsed = Reference.parse(reference)
        with self._snapshot(as_of) as snapshot:
            return versions.records(snapshot, [references.find_version(snapshot, parsed)])[0]

    def versions(
        self,
        op: str | Reference,
        *,
        valid_for: Sequence[str] = (),
        limit: int | None = None,
        as_of: str | None = None,
        below: int | None = None,
        label: Sequence[str] = (),
        is_cancelled: IsCancelled = never,
    ) -> Versions:
        """Return the versions of an op, newest first (protocol.interface); those below the sequence `below`.

        Stops once `is_cancelled` returns True.
        """
        reference, most = Reference.parse(op), check_limit(limit)
        downstreams = [Reference.parse(text) for text in valid_for]
        filters = [LabelFilter.parse(text) for text in label]

        def too_hard(limit: str, _ops: list[str]) -> errors.TooMuchWork:
            question = f"to find versions of {reference}"
            if downstreams:
                question += f" that are valid for {' and '.join(downstreams)}"
            return errors.TooMuchWork(question=question, limit=limit)

        searches = bool(downstreams) or not reference.bare
        read = self._search_snapshot if searches or filters else self._snapshot
        with read(as_of) as snapshot, self.searches.budget(is_cancelled, too_hard) as budget:
            among = with_labels(snapshot, filters)
            if searches:
                chosen = verdicts.select_valid(snapshot, reference, downstreams, most, below, budget, among)
            else:
                op_id = ops.get(snapshot, reference.op).id
                rows = version_rows.rows(snapshot, op_id, version_rows.older_than(below) & among, limit=most)
                chosen = Selection(rows, [], "valid")
            return Versions(
                op=reference.op,
                versions=tuple(versions.records(snapshot, chosen.versions)),
                skipped=tuple(chosen.skipped),
                verdict=chosen.verdict,
                picked_yanked=tuple(snapshot.picked_yanked),
                next_cursor=next_cursor(chosen.versions, most, lambda row: str(row.sequence)),
            )

    def pull(self, reference: str) -> bytes:
        """Return the verified bytes of a version (protocol.interface)."""
        with closing(self.read(self.show(reference))) as reader:
            return b"".join(reader)

    def read(self, version: VersionRecord, part: tuple[int, int] | None = None) -> BlobReader:
        """Open the bytes of the version, or a part of them (BlobReader).

        Raises NotStored, BlobDamaged, and VersionRemoved if the version was removed and collected since it was shown.
        """
        if version.digest is None or version.size is None:
            raise errors.NotStored(op=version.op, version=version.version)
        digest = Digest.parse(version.digest)
        self._refuse_damaged(digest)
        try:
            return BlobReader(self.saver, digest, version.size, part)
        except errors.BlobDamaged:
            self.show(f"{version.op}@{version.version}")  # raises VersionRemoved: its bytes may have been collected
            raise

    def direct(self, version: VersionRecord) -> DirectBytes | None:
        """Return where a client gets the bytes of the version past the daemon; None if the saver offers no such place.

        Raises NotStored, and BlobDamaged for a blob that is marked.
        """
        if version.digest is None or version.size is None:
            raise errors.NotStored(op=version.op, version=version.version)
        if not isinstance(self.saver, DirectSaver):
            return None
        digest = Digest.parse(version.digest)
        self._refuse_damaged(digest=digest)
        expires_at = self.now() + timedelta(seconds=LIFETIME)
        with suppress(errors.BlobNotFound):  # `read` says what became of it
            url = self.saver.direct_url(digest, LIFETIME)
            if url is not None:
                return DirectBytes(url=url, digest=digest, size=version.size, expires_at=expires_at)
        return None

    def _refuse_damaged(self, digest: Digest) -> None:
        """Raise BlobDamaged if the blob is marked: what is in its place, if anything, was found to be wrong."""
        if not self.damage.may_be_any:
            return
        with self.database.read() as connection:
            mark = self.damage.find(connection, digest)
        if mark is not None:
            raise errors.BlobDamaged(digest=digest, reason=f"{mark.problem}, as fsck found")

    def blobs(self, sample: str) -> Blobs:
        """Return some of the blobs that have this sample. Only blobs that came by an upload have one."""
        parsed = Sample.parse(sample)
        with self.database.read() as connection:
            found = versions.blobs_of(connection, parsed)
        return Blobs(blobs=tuple(BlobRecord(digest=each.digest, size=each.size) for each in found))

    def verify_blobs(self, sample: str, is_cancelled: IsCancelled = never) -> BlobVerification:
        """Read the blobs that have this sample, to find those that are intact (BlobVerification); raise TooManyReads.

        Stops once `is_cancelled` returns True.
        """
        blobs = self.blobs(sample).blobs
        with self.database.read() as connection:
            marked = self.damage.among(connection, [blob.digest for blob in blobs])
        blobs = tuple(blob for blob in blobs if blob.digest not in marked)
        return BlobVerification(self.saver, blobs, self.reads, is_cancelled)
