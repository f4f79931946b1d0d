"""Yanks, labels, messages, tags, ops and pipelines: list them and change them."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack

from sqlalchemy import Connection

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.labels import LabelFilter
from opstore_daemon.protocol.names import OpName, PipelineName
from opstore_daemon.protocol.records import (
    EXACT,
    Compat,
    Lock,
    OpRecord,
    Ops,
    PipelineRecord,
    Pipelines,
    Tagged,
    TagRecord,
    Tags,
    VersionRecord,
)
from opstore_daemon.protocol.references import Reference, TagName
from opstore_daemon.store.catalog import annotations, ops, pipelines, tags, version_rows, versions, yanks
from opstore_daemon.store.catalog.label_filters import with_labels
from opstore_daemon.store.catalog.references import find_version
from opstore_daemon.store.paging import NO_LIMIT, next_cursor
from opstore_daemon.store.places import IsCancelled, never
from opstore_daemon.store.snapshot import Snapshot
from opstore_daemon.store.transactions import Transactions
from opstore_daemon.store.validity import locks
from opstore_daemon.store.validity.locks import LockedOp


class CatalogOperations(Transactions):
    """Yank, edit and tag versions, change ops, register pipelines."""

    def yank(self, reference: str | Reference, reason: str) -> VersionRecord:
        """Yank the version (protocol.interface)."""
        return self.set_yank(reference, reason)

    def unyank(self, reference: str | Reference) -> VersionRecord:
        """Undo the yank of the version (protocol.interface)."""
        return self.set_yank(reference, None)

    def set_yank(self, reference: str | Reference, reason: str | None) -> VersionRecord:
        """Yank the version for a reason, or undo its yank if the reason is None."""
        parsed = Reference.parse(reference)

        def work(connection: Connection) -> VersionRecord:
            snapshot = Snapshot(connection)
            row = find_version(snapshot, parsed)
            yanks.record(connection, row, reason, self._stamp())
            changed = version_rows.by_id(snapshot, row.id)
            return versions.records(snapshot, [row if changed is None else changed])[0]

        return self._write(VersionRecord, work)

    def edit(
        self,
        reference: str | Reference,
        *,
        message: str | None = None,
        labels: Mapping[str, str] | None = None,
        unlabel: Sequence[str] = (),
    ) -> VersionRecord:
        """Change the message and the labels of the version (protocol.interface)."""
        parsed, changed = Reference.parse(reference), dict(labels or {})
        both = [key for key in unlabel if key in changed]
        if both:
            raise errors.InvalidRequest(reason=f"the label {both[0]!r} can't be both set and removed")
        if message is None and not changed and not unlabel:
            raise errors.InvalidRequest(reason="an edit needs a message, a label to set or a label to remove")

        def work(connection: Connection) -> VersionRecord:
            snapshot = Snapshot(connection)
            row = find_version(snapshot, parsed)
            annotations.edit(connection, row, message, changed, dict.fromkeys(unlabel), self._stamp())
            return versions.records(snapshot, [row])[0]

        return self._write(VersionRecord, work)

    def tag(self, references: str | Sequence[str] | Lock, tag: str) -> list[TagRecord]:
        """Move the tag to a version, or to one version of each of several ops (protocol.interface)."""
        return list(self.move_tag(references, tag).tags)

    def move_tag(self, references: str | Sequence[str] | Lock, tag: str) -> Tagged:
        """Move the tag as `tag` does; also return which yanked versions the references selected."""
        name = TagName.parse(tag)
        locked: list[LockedOp] = []
        targets: list[Reference] = []
        if isinstance(references, Lock):
            locked = locks.parse(references)
        else:
            targets = [Reference.parse(text) for text in ([references] if isinstance(references, str) else references)]
        if len({reference.op for reference in targets}) < len(targets):
            raise errors.InvalidRequest(reason="a tag can be on only one version of an op")
        if not targets and not locked:
            raise errors.InvalidRequest(reason="a tag needs at least one version")

        def work(connection: Connection) -> Tagged:
            snapshot = Snapshot(connection)
            rows = [find_version(snapshot, reference) for reference in targets] + locks.select(snapshot, locked)
            tags.move(connection, [name], rows, self._stamp())
            moved = tags.of_versions(snapshot, name, rows)
            return Tagged(tags=tuple(moved), picked_yanked=tuple(snapshot.picked_yanked))

        return self._write(Tagged, work)

    def untag(self, op: str, tag: str) -> None:
        """Remove the tag from the op's version (protocol.interface)."""
        op_name, name = OpName.parse(op), TagName.parse(tag)

        def work(connection: Connection) -> None:
            tags.remove(connection, ops.get(Snapshot(connection), op_name), name, self._stamp())

        self._write(type(None), work)

    def tags(self, op: str | None = None, *, history: bool = False, as_of: str | None = None) -> list[TagRecord]:
        """Return the tags in force, or every move of a tag (protocol.interface)."""
        return list(self.tags_page(op, None, NO_LIMIT, history=history, as_of=as_of).tags)

    def tags_page(
        self, op: str | None, cursor: str | None, limit: int, *, history: bool, as_of: str | None = None
    ) -> Tags:
        """Return a page of tags: at most `limit` tags after the cursor."""
        name = None if op is None else OpName.parse(op)
        with self._snapshot(as_of) as snapshot:
            op_id = None if name is None else ops.get_id(snapshot, name, history=history)
            page = tags.records(snapshot, op_id, tags.parse_cursor(cursor), limit, history=history)
        return Tags(tags=tuple(page), next_cursor=next_cursor(page, limit, tags.cursor_of))

    def ops(self, *, label: Sequence[str] = ()) -> list[OpRecord]:
        """Return all ops by name, or those with a version that has these labels (protocol.interface)."""
        return list(self.ops_page("", NO_LIMIT, label=label).ops)

    def ops_page(self, after: str, limit: int, *, label: Sequence[str] = (), is_cancelled: IsCancelled = never) -> Ops:
        """Return a page of ops by name: at most `limit` ops after the name `after`."""
        filters = [LabelFilter.parse(text) for text in label]

        def too_hard(limit: str, _ops: list[str]) -> errors.TooMuchWork:
            return errors.TooMuchWork(question="to find the ops with these labels", limit=limit)

        with self._search_snapshot() if filters else self._snapshot() as snapshot, ExitStack() as stack:
            if filters:
                stack.enter_context(self.searches.budget(is_cancelled, too_hard))
            page = ops.records(snapshot, after, limit, having=with_labels(snapshot, filters))
        return Ops(ops=tuple(page), next_cursor=next_cursor(page, limit, lambda op: op.name))

    def op(self, name: str) -> OpRecord:
        """Return one op (protocol.interface)."""
        parsed = OpName.parse(name)
        with self._snapshot() as snapshot:
            ops.get(snapshot, parsed)
            return ops.records(snapshot, "", 1, only=parsed)[0]

    def set_op(self, op: str, *, compat: Compat | None = None, description: str | None = None) -> OpRecord:
        """Set the op's compatibility level or description, or both (protocol.interface)."""
        name = OpName.parse(op)
        if compat is None and description is None:
            raise errors.InvalidRequest(reason="nothing to set: give a compatibility level or a description")

        def work(connection: Connection) -> OpRecord:
            snapshot = Snapshot(connection)
            row, stamp = ops.get(snapshot, name), self._stamp()
            if compat is not None:
                ops.set_compat(connection, row, compat, stamp)
            if description is not None:
                ops.describe(connection, row, description, stamp)
            return ops.records(snapshot, "", 1, only=name)[0]

        return self._write(OpRecord, work)

    def register_pipeline(
        self,
        name: str,
        ops: Sequence[str] = (),
        edges: Sequence[tuple[str, str]] | None = None,
        *,
        new_ops: Compat = EXACT,
    ) -> PipelineRecord:
        """Register a pipeline (protocol.interface)."""
        parsed = PipelineName.parse(name)
        pairs = None if edges is None else [(OpName.parse(up), OpName.parse(down)) for up, down in edges]
        order, sorted_pairs = pipelines.graph([OpName.parse(op) for op in ops], pairs)

        def work(connection: Connection) -> PipelineRecord:
            return pipelines.register(connection, parsed, order, sorted_pairs, new_ops, self._stamp())

        return self._write(PipelineRecord, work)

    def pipelines(self) -> list[PipelineRecord]:
        """Return all pipelines by name (protocol.interface)."""
        return list(self.pipelines_page("", NO_LIMIT).pipelines)

    def pipelines_page(self, after: str, limit: int) -> Pipelines:
        """Return a page of pipelines by name: at most `limit` pipelines after the name `after`."""
        with self._snapshot() as snapshot:
            page = pipelines.records(snapshot, after, limit)
        return Pipelines(pipelines=tuple(page), next_cursor=next_cursor(page, limit, lambda each: each.name))

    def pipeline(self, name: str) -> PipelineRecord:
        """Return one pipeline (protocol.interface)."""
        parsed = PipelineName.parse(name)
        with self._snapshot() as snapshot:
            return pipelines.get(snapshot, parsed)

    def remove_pipeline(self, name: str) -> None:
        """Remove the pipeline (protocol.interface)."""
        parsed = PipelineName.parse(name)
        self._write(type(None), lambda connection: pipelines.remove(connection, parsed, self._stamp()))
