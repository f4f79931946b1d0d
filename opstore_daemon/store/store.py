"""The store: every verb as one transaction over metadata and savers."""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import BinaryIO, TypeVar

import msgspec
from sqlalchemy import Connection, select

from opstore_daemon.metadata import Database
from opstore_daemon.metadata.tables import Counter
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.digests import Digest, parse_digest
from opstore_daemon.protocol.names import check_name
from opstore_daemon.protocol.records import (
    Affected,
    Check,
    Compat,
    Fields,
    Level,
    LinkRecord,
    Links,
    LinkState,
    Lock,
    NewVersion,
    OpRecord,
    Ops,
    Otherwise,
    PipelineRecord,
    Pipelines,
    Pushed,
    Resolution,
    TagRecord,
    Tags,
    Upload,
    Validation,
    VersionRecord,
    Versions,
)
from opstore_daemon.protocol.references import Latest, Reference, parse_reference
from opstore_daemon.savers import BaseSaver
from opstore_daemon.store import (
    answers,
    journal,
    links,
    lookup,
    ops,
    pipelines,
    pushing,
    resolving,
    tags,
    verdicts,
    versions,
    yanks,
)
from opstore_daemon.store.answers import Once
from opstore_daemon.store.blobs import PIECE, BlobReader
from opstore_daemon.store.links import Filter
from opstore_daemon.store.uploads import Uploads
from opstore_daemon.store.verdicts import Selection
from opstore_daemon.store.view import View
from opstore_daemon.store.view import as_of as view_as_of

ALL = 2**62  # rows
PUBLISH_TRIES = 3
LOCAL = "local"  # the owner of uploads that are made in process

T = TypeVar("T")
Seen = Callable[[int], bool]  # whether the asker knows the verdict of that position


class _BlobGone(Exception):
    """A collector took the blob between its publication and the transaction."""


def _utc() -> datetime:
    return datetime.now(UTC)


def _never(_position: int) -> bool:
    return False


class Store:
    """An op store (protocol.verbs) on a database and a saver."""

    def __init__(self, database: Database, saver: BaseSaver, clock: Callable[[], datetime] = _utc) -> None:
        self.database, self.saver = database, saver
        self._clock = clock
        self._once: Once | None = None
        self.uploads = Uploads(database, saver, self._now)

    def _now(self) -> int:
        return journal.microseconds(self._clock())

    def once(self, once: Once | None) -> "Store":
        """The same store, for one request: repeated with the same key it has the effect of one."""
        bound = copy.copy(self)
        bound._once = once
        return bound

    def _write(self, kind: type[T], work: Callable[[Connection], T]) -> T:
        """Does the work in one transaction, and once."""
        with self.database.write() as connection:
            if self._once is None:
                return work(connection)
            before = answers.find(connection, self._once)
            if before is not None:
                return msgspec.json.decode(before, type=kind)
            result = work(connection)
            answers.save(connection, self._once, msgspec.json.encode(result), self._now())
            return result

    @contextmanager
    def _view(self, as_of: str | None = None) -> Iterator[View]:
        """What a read sees: now, or as of a position or a time."""
        with self.database.read() as connection:
            yield view_as_of(connection, as_of)

    def check(self) -> None:
        """Raises Unavailable where the database or the saver does not answer."""
        with self.database.read() as connection:
            connection.execute(select(Counter.position)).scalar_one()
        self.saver.free()

    # --- uploads ------------------------------------------------------------------------------------------------

    def create_upload(self, owner: str, size: int | None) -> Upload:
        """A new upload (store.uploads)."""
        planned = self.uploads.plan(size)
        told = self._write(Upload, lambda connection: self.uploads.enter(connection, planned, owner))
        # An earlier request with this key may have made another one, which may be finished by now.
        return self.uploads.begin(planned, owner) if told.upload == planned.upload else told

    def discard_upload(self, upload: str, owner: str) -> None:
        """Throws an upload away (store.uploads)."""
        self._write(type(None), lambda connection: self.uploads.forget(connection, upload, owner))
        self.uploads.throw_away(upload)

    # --- versions -----------------------------------------------------------------------------------------------

    def push(
        self,
        op: str,
        source: bytes | BinaryIO,
        *,
        bump: Level | None = None,
        fields: Fields | None = None,
        version: str | None = None,
        otherwise: Otherwise = "refuse",
        new: bool = False,
        valid_for: Sequence[str] = (),
        valid_with: Sequence[str] = (),
        labels: Mapping[str, str] | None = None,
        message: str | None = None,
        tags: Sequence[str] = (),
        format: str | None = None,  # noqa: A002 - the record's word
        libraries: Mapping[str, str] | None = None,
    ) -> Pushed:
        """Stores the bytes as a version of the op (protocol.verbs)."""
        upload = self.uploads.create(LOCAL, None).upload
        wanted = NewVersion(
            upload=upload,
            bump=bump,
            fields=fields,
            version=version,
            otherwise=otherwise,
            new=new,
            valid_for=tuple(valid_for),
            valid_with=tuple(valid_with),
            labels=dict(labels or {}),
            message=message,
            tags=tuple(tags),
            format=format,
            libraries=dict(libraries or {}),
        )
        try:
            self._take_in(upload, source)
            return self.add_version(op, wanted, LOCAL)
        except BaseException:
            with suppress(errors.OpStoreError):  # it may be off the books already
                self.uploads.discard(upload, LOCAL)
            raise

    def _take_in(self, upload: str, source: bytes | BinaryIO) -> None:
        writer = self.uploads.writer(upload, LOCAL, 0, None)
        if isinstance(source, bytes):
            writer.append(source)
        else:
            while piece := source.read(PIECE):
                writer.append(piece)

    def register(
        self,
        op: str,
        *,
        fields: Fields | None = None,
        version: str | None = None,
        valid_for: Sequence[str] = (),
        valid_with: Sequence[str] = (),
        labels: Mapping[str, str] | None = None,
        message: str | None = None,
    ) -> Pushed:
        """Registers a version without bytes (protocol.verbs)."""
        wanted = NewVersion(
            fields=fields,
            version=version,
            valid_for=tuple(valid_for),
            valid_with=tuple(valid_with),
            labels=dict(labels or {}),
            message=message,
        )
        return self.add_version(op, wanted, LOCAL)

    def add_version(self, op: str, wanted: NewVersion, owner: str) -> Pushed:
        """Makes the version that was asked for, of the owner's upload or of none.

        Bytes first, then one short transaction. What the transaction would refuse is found out before the bytes
        are kept, by a rehearsal; a collector that took the blob in between sends us back to keep it again.
        """
        pushing.check(op, wanted)
        upload = wanted.upload
        if upload is None:
            return self._write(Pushed, lambda connection: pushing.add(connection, op, wanted, None, self._now()))
        before = self._answered()
        if before is not None:
            return before
        try:
            return self._finish(op, wanted, upload, owner)
        except (errors.NotFound, errors.Conflict, errors.IntegrityFailure):
            # The same request, sent twice, may have done it meanwhile: then its upload is gone.
            before = self._answered()
            if before is None:
                raise
            return before

    def _answered(self) -> Pushed | None:
        if self._once is None:
            return None
        with self.database.read() as connection:
            before = answers.find(connection, self._once)
        return None if before is None else msgspec.json.decode(before, type=Pushed)

    def _finish(self, op: str, wanted: NewVersion, upload: str, owner: str) -> Pushed:
        declared = None if wanted.digest is None else parse_digest(wanted.digest)
        blob = self.uploads.check(upload, owner, declared, wanted.size)
        with self.database.rehearse() as connection:
            pushing.add(connection, op, wanted, blob, self._now())

        def work(connection: Connection) -> Pushed:
            if blob[0] not in self.saver:
                raise _BlobGone
            self.uploads.forget(connection, upload)
            return pushing.add(connection, op, wanted, blob, self._now())

        for _ in range(PUBLISH_TRIES):
            self.uploads.publish(upload, owner, blob[0])
            with suppress(_BlobGone):
                pushed = self._write(Pushed, work)
                self.uploads.throw_away(upload)
                return pushed
        raise errors.StorageFailed(reason=f"{blob[0]} was kept {PUBLISH_TRIES} times and is gone again")

    def pull(self, reference: str) -> bytes:
        """The verified bytes of a version (protocol.verbs)."""
        reader = self.read(self.show(reference))
        try:
            return b"".join(reader)
        finally:
            reader.close()

    def read(self, version: VersionRecord, start: int = 0, stop: int | None = None) -> BlobReader:
        """A reader of the version's bytes, or of some; raises NotStored or BlobDamaged."""
        if version.digest is None or version.size is None:
            raise errors.NotStored(op=version.op, number=version.number)
        return BlobReader(self.saver, Digest(version.digest), version.size, start, stop)

    def show(self, reference: str, *, as_of: str | None = None) -> VersionRecord:
        """All that is known of one version (protocol.verbs)."""
        parsed = parse_reference(reference)
        with self._view(as_of) as view:
            row = lookup.pick(view, ops.get(view, parsed.op).id, parsed)
            return versions.records(view, [row])[0]

    def versions(
        self,
        op: str,
        *,
        valid_for: Sequence[str] = (),
        limit: int | None = None,
        as_of: str | None = None,
        below: int | None = None,
    ) -> Versions:
        """The versions of an op, newest first (protocol.verbs); `below` is the sequence where a page begins."""
        if limit is not None and limit < 1:
            raise errors.InvalidRequest(reason="the limit is at least 1")
        reference, wanted = parse_reference(op), ALL if limit is None else limit
        with self._view(as_of) as view:
            if valid_for or not reference.bare:
                chosen = verdicts.select_valid(view, reference, valid_for, wanted, below)
            else:
                rows = versions.newest(view, ops.get(view, reference.op).id, below, wanted)
                chosen = Selection(rows, [], "valid")
            return Versions(
                op=reference.op,
                versions=tuple(versions.records(view, chosen.found)),
                passed_over=tuple(chosen.passed_over),
                verdict=chosen.verdict,
                next_cursor=str(chosen.found[-1].sequence) if len(chosen.found) == limit else None,
            )

    def yank(self, reference: str, reason: str) -> VersionRecord:
        """Yanks the version (protocol.verbs)."""
        return self.set_yank(reference, reason)

    def unyank(self, reference: str) -> VersionRecord:
        """Ends that the version is yanked (protocol.verbs)."""
        return self.set_yank(reference, None)

    def set_yank(self, reference: str, reason: str | None) -> VersionRecord:
        """Enters that the version is yanked for a reason, or (None) no longer so."""
        parsed = parse_reference(reference)

        def work(connection: Connection) -> VersionRecord:
            view = View(connection)
            row = lookup.pick(view, ops.get(view, parsed.op).id, parsed)
            yanks.enter(connection, row, reason, self._now())
            changed = lookup.of_id(view, row.id)
            return versions.records(view, [row if changed is None else changed])[0]

        return self._write(VersionRecord, work)

    # --- tags ---------------------------------------------------------------------------------------------------

    def tag(self, references: str | Sequence[str], tag: str) -> list[TagRecord]:
        """Puts the tag on a version, or on one of each of several ops (protocol.verbs)."""
        asked = [parse_reference(text) for text in ([references] if isinstance(references, str) else references)]
        if len({reference.op for reference in asked}) < len(asked):
            raise errors.InvalidRequest(reason="a tag stands on one version of an op")
        tags.check(tag)

        def work(connection: Connection) -> Tags:
            view = View(connection)
            rows = [lookup.pick(view, ops.get(view, reference.op).id, reference) for reference in asked]
            tags.move(connection, [tag], rows, self._now())
            return Tags(tags=tuple(tags.of_versions(view, tag, rows)))

        return list(self._write(Tags, work).tags)

    def untag(self, op: str, tag: str) -> None:
        """Takes the tag away (protocol.verbs)."""
        check_name(tag)
        self._write(
            type(None),
            lambda connection: tags.remove(connection, ops.get(View(connection), op), tag, self._now()),
        )

    def tags(self, op: str | None = None, *, history: bool = False, as_of: str | None = None) -> list[TagRecord]:
        """The tags in force, or every move (protocol.verbs)."""
        return list(self.tags_page(op, None, ALL, history=history, as_of=as_of).tags)

    def tags_page(
        self, op: str | None, cursor: str | None, limit: int, *, history: bool, as_of: str | None = None
    ) -> Tags:
        """A page of tags: at most `limit` of those behind the cursor."""
        with self._view(as_of) as view:
            op_id = None if op is None else ops.get(view, op).id
            found = tags.records(view, op_id, tags.parse_cursor(cursor), limit, history=history)
        return Tags(tags=tuple(found), next_cursor=tags.cursor_of(found[-1]) if len(found) == limit else None)

    # --- ops ----------------------------------------------------------------------------------------------------

    def ops(self) -> list[OpRecord]:
        """All ops, by name (protocol.verbs)."""
        return list(self.ops_page("", ALL).ops)

    def ops_page(self, after: str, limit: int) -> Ops:
        """A page of ops: at most `limit` of those behind the name `after`."""
        with self._view() as view:
            found = ops.records(view, after, limit)
        return Ops(ops=tuple(found), next_cursor=found[-1].name if len(found) == limit else None)

    def op(self, name: str) -> OpRecord:
        """One op (protocol.verbs)."""
        with self._view() as view:
            ops.get(view, name)
            return ops.records(view, "", 1, only=name)[0]

    def set_compat(self, op: str, compat: Compat) -> OpRecord:
        """Sets the op's compatibility level (protocol.verbs)."""

        def work(connection: Connection) -> OpRecord:
            view = View(connection)
            ops.set_compat(connection, ops.get(view, op), compat, self._now())
            return ops.records(view, "", 1, only=op)[0]

        return self._write(OpRecord, work)

    # --- links --------------------------------------------------------------------------------------------------

    def link(self, upstream: str, downstream: str, *, valid: bool = True, evidence: str | None = None) -> LinkRecord:
        """Enters a link (protocol.verbs)."""
        return self.enter_link(upstream, downstream, "valid" if valid else "invalid", evidence)

    def unlink(self, upstream: str, downstream: str) -> LinkRecord:
        """Revokes a link (protocol.verbs)."""
        return self.enter_link(upstream, downstream, "revoked", None)

    def enter_link(self, upstream: str, downstream: str, state: LinkState, evidence: str | None) -> LinkRecord:
        """Makes the entry; for `revoked`, returns what was revoked."""
        up, down = parse_reference(upstream), parse_reference(downstream)

        def work(connection: Connection) -> LinkRecord:
            view = View(connection)
            version = lookup.pick(view, ops.get(view, up.op).id, up)
            return links.enter(connection, links.four(connection, version, down), state, evidence, self._now())

        return self._write(LinkRecord, work)

    def links(
        self,
        op: str | None = None,
        *,
        upstream: str | None = None,
        downstream: str | None = None,
        history: bool = False,
        limit: int | None = None,
        as_of: str | None = None,
    ) -> list[LinkRecord]:
        """The links in force, or all entries (protocol.verbs)."""
        if limit is not None and limit < 1:
            raise errors.InvalidRequest(reason="the limit is at least 1")
        asked = Filter(op, upstream, downstream, history)
        return list(self.links_page(asked, None, ALL if limit is None else limit, as_of=as_of).links)

    def links_page(self, asked: Filter, below: int | None, limit: int, *, as_of: str | None = None) -> Links:
        """A page of links: at most `limit` of those below a position."""
        with self._view(as_of) as view:
            found = links.records(view, asked, below, limit)
        return Links(links=tuple(found), next_cursor=str(found[-1].position) if len(found) == limit else None)

    # --- verdicts -------------------------------------------------------------------------------------------------

    def validate(self, upstream: str, downstream: str, *, as_of: str | None = None) -> Validation:
        """The verdict for one edge (protocol.verbs)."""
        found = self.edge_verdict(upstream, downstream, as_of)
        assert not isinstance(found, int), "only what was seen before is not told"  # noqa: S101
        return found

    def edge_verdict(
        self, upstream: str, downstream: str, as_of: str | None = None, unless: Seen = _never
    ) -> Validation | int:
        """The same; its position alone where that was seen."""
        up, down = parse_reference(upstream), parse_reference(downstream)
        if up.op == down.op:
            raise errors.InvalidRequest(reason=f"{up.op} can't be its own upstream")
        with self._view(as_of) as view:
            position = ops.last_change(view, [up.op, down.op])
            if unless(position):
                return position
            chosen = {up.op: verdicts.choose(view, up), down.op: verdicts.choose(view, down)}
            return verdicts.validate(view, [(up.op, down.op)], chosen, position)

    def validate_pipeline(self, pipeline: str, *, use: Sequence[str] = (), as_of: str | None = None) -> Validation:
        """The verdict over all edges of a pipeline (protocol.verbs)."""
        found = self.pipeline_verdict(pipeline, use, as_of)
        assert not isinstance(found, int), "only what was seen before is not told"  # noqa: S101
        return found

    def pipeline_verdict(
        self, pipeline: str, use: Sequence[str] = (), as_of: str | None = None, unless: Seen = _never
    ) -> Validation | int:
        """The same; its position alone where that was seen."""
        with self._view(as_of) as view:
            position = pipelines.last_change(view, pipeline)
            if unless(position):
                return position
            graph = pipelines.get(view, pipeline)
            used = resolving.of_pipeline(graph, use)
            chosen = {op: verdicts.choose(view, used.get(op) or Reference(op, Latest(), bare=True)) for op in graph.ops}
            return verdicts.validate(view, graph.edges, chosen, position, pipeline)

    def resolve(
        self,
        pipeline: str,
        *,
        use: Sequence[str] = (),
        lock: Sequence[str] = (),
        upgrade: str | None = None,
        as_of: str | None = None,
    ) -> Resolution:
        """The resolution of a pipeline (protocol.verbs)."""
        with self._view(as_of) as view:
            return resolving.Resolving(view, pipeline, use, lock, upgrade).answer()

    def check_lock(self, pipeline: str, lock: Lock) -> Check:
        """Whether a lock still holds (protocol.verbs)."""
        with self._view() as view:
            return resolving.check(view, pipeline, lock)

    def affected(self, reference: str, *, pipeline: str | None = None, as_of: str | None = None) -> Affected:
        """What has to be retrained for a version (protocol.verbs)."""
        with self._view(as_of) as view:
            return resolving.affected(view, reference, pipeline)

    # --- pipelines ------------------------------------------------------------------------------------------------

    def register_pipeline(
        self, name: str, ops: Sequence[str] = (), edges: Sequence[tuple[str, str]] | None = None
    ) -> PipelineRecord:
        """Registers a pipeline (protocol.verbs)."""
        order, pairs = pipelines.graph(ops, edges)
        return self._write(
            PipelineRecord, lambda connection: pipelines.register(connection, name, order, pairs, self._now())
        )

    def pipelines(self) -> list[PipelineRecord]:
        """All pipelines, by name (protocol.verbs)."""
        return list(self.pipelines_page("", ALL).pipelines)

    def pipelines_page(self, after: str, limit: int) -> Pipelines:
        """A page of pipelines: at most `limit` of those behind the name `after`."""
        with self._view() as view:
            found = pipelines.records(view, after, limit)
        return Pipelines(pipelines=tuple(found), next_cursor=found[-1].name if len(found) == limit else None)

    def pipeline(self, name: str) -> PipelineRecord:
        """One pipeline (protocol.verbs)."""
        with self._view() as view:
            return pipelines.get(view, name)

    def remove_pipeline(self, name: str) -> None:
        """Removes the pipeline (protocol.verbs)."""
        self._write(type(None), lambda connection: pipelines.remove(connection, name, self._now()))
