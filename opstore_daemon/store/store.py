"""The store: every verb as one transaction over metadata and savers."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress

from sqlalchemy import Connection, select

from opstore_daemon.metadata.tables import Counter
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.digests import Digest
from opstore_daemon.protocol.names import check_name
from opstore_daemon.protocol.records import (
    Affected,
    BlobRecord,
    Blobs,
    Check,
    Compat,
    Linked,
    LinkRecord,
    Links,
    LinkState,
    Lock,
    OpRecord,
    Ops,
    PipelineRecord,
    Pipelines,
    Resolution,
    Tagged,
    TagRecord,
    Tags,
    Validation,
    VersionRecord,
    Versions,
)
from opstore_daemon.protocol.references import Latest, Reference, parse_reference
from opstore_daemon.protocol.samples import parse_sample
from opstore_daemon.store.blob_reader import BlobReader
from opstore_daemon.store.catalog import links, ops, pipelines, tags, version_rows, versions, yanks
from opstore_daemon.store.catalog.links import Filter
from opstore_daemon.store.catalog.references import resolve_reference
from opstore_daemon.store.operations.ingest import TakingIn
from opstore_daemon.store.reports.history import Chronicle
from opstore_daemon.store.reports.matrix import Matrices
from opstore_daemon.store.reports.overview import Browsing
from opstore_daemon.store.snapshot import Snapshot
from opstore_daemon.store.validity import resolution, verdicts
from opstore_daemon.store.validity.verdicts import Selection

ALL = 2**62  # rows

Seen = Callable[[int], bool]  # whether the asker knows the verdict of that position


def _never(_position: int) -> bool:
    return False


class Store(TakingIn, Browsing, Matrices, Chronicle):
    """An op store (protocol.verbs) on a database and a saver."""

    def check(self) -> None:
        """Raises Unavailable where the database or the saver does not answer."""
        with self.database.read() as connection:
            connection.execute(select(Counter.position)).scalar_one()
        self.saver.free()

    # --- versions -----------------------------------------------------------------------------------------------

    def pull(self, reference: str) -> bytes:
        """The verified bytes of a version (protocol.verbs)."""
        reader = self.read(self.show(reference))
        try:
            return b"".join(reader)
        finally:
            reader.close()

    def read(self, version: VersionRecord, part: tuple[int, int] | None = None) -> BlobReader:
        """A reader of the version's bytes, or of some (BlobReader); raises NotStored or BlobDamaged."""
        if version.digest is None or version.size is None:
            raise errors.NotStored(op=version.op, version=version.version)
        return BlobReader(self.saver, Digest(version.digest), version.size, part)

    def blobs(self, sample: str) -> Blobs:
        """Some of the blobs that versions have with that sample, as far as it is known: of what came by an upload."""
        wanted = parse_sample(sample)
        with self.database.read() as connection:
            found = versions.blobs_of(connection, wanted)
        return Blobs(blobs=tuple(BlobRecord(digest=each.digest, size=each.size) for each in found))

    def verify_blobs(self, sample: str) -> Iterator[Blobs | None]:
        """The same, without those whose bytes are not what they were: None for each piece that was read, then they."""
        found = self.blobs(sample).blobs

        def look() -> Iterator[Blobs | None]:
            intact = []
            for blob in found:
                with suppress(errors.IntegrityFailure, errors.Unavailable):
                    with closing(BlobReader(self.saver, Digest(blob.digest), blob.size)) as reader:
                        for _ in reader:
                            yield None
                    intact.append(blob)
            yield Blobs(blobs=tuple(intact))

        return look()

    def show(self, reference: str, *, as_of: str | None = None) -> VersionRecord:
        """All that is known of one version (protocol.verbs)."""
        parsed = parse_reference(reference)
        with self._snapshot(as_of) as snapshot:
            row = resolve_reference(snapshot, ops.get(snapshot, parsed.op).id, parsed)
            return versions.records(snapshot, [row])[0]

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
        with self._snapshot(as_of) as snapshot:
            if valid_for or not reference.bare:
                chosen = verdicts.select_valid(snapshot, reference, valid_for, wanted, below)
            else:
                rows = versions.newest(snapshot, ops.get(snapshot, reference.op).id, below, wanted)
                chosen = Selection(rows, [], "valid")
            return Versions(
                op=reference.op,
                versions=tuple(versions.records(snapshot, chosen.found)),
                skipped=tuple(chosen.skipped),
                verdict=chosen.verdict,
                picked_yanked=tuple(snapshot.picked_yanked),
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
            snapshot = Snapshot(connection)
            row = resolve_reference(snapshot, ops.get(snapshot, parsed.op).id, parsed)
            yanks.record(connection, row, reason, self._now())
            changed = version_rows.by_id(snapshot, row.id)
            return versions.records(snapshot, [row if changed is None else changed])[0]

        return self._write(VersionRecord, work)

    # --- tags ---------------------------------------------------------------------------------------------------

    def tag(self, references: str | Sequence[str], tag: str) -> list[TagRecord]:
        """Puts the tag on a version, or on one of each of several ops (protocol.verbs)."""
        return list(self.move_tag(references, tag).tags)

    def move_tag(self, references: str | Sequence[str], tag: str) -> Tagged:
        """The same, and which yanked versions the references picked."""
        asked = [parse_reference(text) for text in ([references] if isinstance(references, str) else references)]
        if len({reference.op for reference in asked}) < len(asked):
            raise errors.InvalidRequest(reason="a tag stands on one version of an op")
        tags.check(tag)

        def work(connection: Connection) -> Tagged:
            snapshot = Snapshot(connection)
            rows = [resolve_reference(snapshot, ops.get(snapshot, reference.op).id, reference) for reference in asked]
            tags.move(connection, [tag], rows, self._now())
            return Tagged(
                tags=tuple(tags.of_versions(snapshot, tag, rows)), picked_yanked=tuple(snapshot.picked_yanked)
            )

        return self._write(Tagged, work)

    def untag(self, op: str, tag: str) -> None:
        """Takes the tag away (protocol.verbs)."""
        check_name(tag)
        self._write(
            type(None),
            lambda connection: tags.remove(connection, ops.get(Snapshot(connection), op), tag, self._now()),
        )

    def tags(self, op: str | None = None, *, history: bool = False, as_of: str | None = None) -> list[TagRecord]:
        """The tags in force, or every move (protocol.verbs)."""
        return list(self.tags_page(op, None, ALL, history=history, as_of=as_of).tags)

    def tags_page(
        self, op: str | None, cursor: str | None, limit: int, *, history: bool, as_of: str | None = None
    ) -> Tags:
        """A page of tags: at most `limit` of those behind the cursor."""
        with self._snapshot(as_of) as snapshot:
            op_id = None if op is None else ops.get(snapshot, op).id
            found = tags.records(snapshot, op_id, tags.parse_cursor(cursor), limit, history=history)
        return Tags(tags=tuple(found), next_cursor=tags.cursor_of(found[-1]) if len(found) == limit else None)

    # --- ops ----------------------------------------------------------------------------------------------------

    def ops(self) -> list[OpRecord]:
        """All ops, by name (protocol.verbs)."""
        return list(self.ops_page("", ALL).ops)

    def ops_page(self, after: str, limit: int) -> Ops:
        """A page of ops: at most `limit` of those behind the name `after`."""
        with self._snapshot() as snapshot:
            found = ops.records(snapshot, after, limit)
        return Ops(ops=tuple(found), next_cursor=found[-1].name if len(found) == limit else None)

    def op(self, name: str) -> OpRecord:
        """One op (protocol.verbs)."""
        with self._snapshot() as snapshot:
            ops.get(snapshot, name)
            return ops.records(snapshot, "", 1, only=name)[0]

    def set_compat(self, op: str, compat: Compat) -> OpRecord:
        """Sets the op's compatibility level (protocol.verbs)."""

        def work(connection: Connection) -> OpRecord:
            snapshot = Snapshot(connection)
            ops.set_compat(connection, ops.get(snapshot, op), compat, self._now())
            return ops.records(snapshot, "", 1, only=op)[0]

        return self._write(OpRecord, work)

    # --- links --------------------------------------------------------------------------------------------------

    def link(self, upstream: str, downstream: str, *, valid: bool = True, evidence: str | None = None) -> LinkRecord:
        """Enters a link (protocol.verbs)."""
        return self.record_link(upstream, downstream, "valid" if valid else "invalid", evidence).link

    def unlink(self, upstream: str, downstream: str) -> LinkRecord:
        """Revokes a link (protocol.verbs)."""
        return self.record_link(upstream, downstream, "revoked", None).link

    def record_link(self, upstream: str, downstream: str, state: LinkState, evidence: str | None) -> Linked:
        """Makes the entry; for `revoked`, returns what was revoked."""
        up, down = parse_reference(upstream), parse_reference(downstream)

        def work(connection: Connection) -> Linked:
            snapshot = Snapshot(connection)
            version = resolve_reference(snapshot, ops.get(snapshot, up.op).id, up)
            record = links.record_link(
                connection, links.link_key(snapshot, version, down), state, evidence, self._now()
            )
            return Linked(link=record, picked_yanked=tuple(snapshot.picked_yanked))

        return self._write(Linked, work)

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
        with self._snapshot(as_of) as snapshot:
            found = links.records(snapshot, asked, below, limit)
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
        with self._snapshot(as_of) as snapshot:
            position = ops.last_change(snapshot, [up.op, down.op])
            if unless(position):
                return position
            chosen = {up.op: verdicts.choose(snapshot, up), down.op: verdicts.choose(snapshot, down)}
            return verdicts.validate(snapshot, [(up.op, down.op)], chosen, position)

    def validate_pipeline(self, pipeline: str, *, use: Sequence[str] = (), as_of: str | None = None) -> Validation:
        """The verdict over all edges of a pipeline (protocol.verbs)."""
        found = self.pipeline_verdict(pipeline, use, as_of)
        assert not isinstance(found, int), "only what was seen before is not told"  # noqa: S101
        return found

    def pipeline_verdict(
        self, pipeline: str, use: Sequence[str] = (), as_of: str | None = None, unless: Seen = _never
    ) -> Validation | int:
        """The same; its position alone where that was seen."""
        with self._snapshot(as_of) as snapshot:
            position = pipelines.last_change(snapshot, pipeline)
            if unless(position):
                return position
            graph = pipelines.get(snapshot, pipeline)
            used = resolution.of_pipeline(graph, use)
            chosen = {
                op: verdicts.choose(snapshot, used.get(op) or Reference(op, Latest(), bare=True)) for op in graph.ops
            }
            return verdicts.validate(snapshot, graph.edges, chosen, position, pipeline)

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
        with self._snapshot(as_of) as snapshot:
            return resolution.Resolving(snapshot, pipeline, use, lock, upgrade).answer()

    def check_lock(self, pipeline: str, lock: Lock) -> Check:
        """Whether a lock still holds (protocol.verbs)."""
        with self._snapshot() as snapshot:
            return resolution.check(snapshot, pipeline, lock)

    def affected(self, reference: str, *, pipeline: str | None = None, as_of: str | None = None) -> Affected:
        """What has to be retrained for a version (protocol.verbs)."""
        with self._snapshot(as_of) as snapshot:
            return resolution.affected(snapshot, reference, pipeline)

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
        with self._snapshot() as snapshot:
            found = pipelines.records(snapshot, after, limit)
        return Pipelines(pipelines=tuple(found), next_cursor=found[-1].name if len(found) == limit else None)

    def pipeline(self, name: str) -> PipelineRecord:
        """One pipeline (protocol.verbs)."""
        with self._snapshot() as snapshot:
            return pipelines.get(snapshot, name)

    def remove_pipeline(self, name: str) -> None:
        """Removes the pipeline (protocol.verbs)."""
        self._write(type(None), lambda connection: pipelines.remove(connection, name, self._now()))
