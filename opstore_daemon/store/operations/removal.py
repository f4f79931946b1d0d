"""Remove versions and ops. What needs them is looked for first: without `force`, nothing that is needed goes."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

import msgspec
from sqlalchemy import Connection

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.names import PipelineName
from opstore_daemon.protocol.records import Need, Removal
from opstore_daemon.protocol.references import Reference
from opstore_daemon.rules.budget import LimitReached
from opstore_daemon.store import journal
from opstore_daemon.store.catalog import pipelines, removals
from opstore_daemon.store.catalog.removals import LinkRow, Selected
from opstore_daemon.store.catalog.version_rows import VersionRow
from opstore_daemon.store.journal import Entry
from opstore_daemon.store.places import IsCancelled, never
from opstore_daemon.store.snapshot import Snapshot
from opstore_daemon.store.transactions import Transactions
from opstore_daemon.store.validity.resolution import Resolver

MAX_REFERENCES = 1000
MAX_NEEDS = 1000  # that a response has
TRIES = 3  # to resolve pipelines that change meanwhile
CHANGES = "can't be told, because it changes all the time"


class _Changed(Exception):
    """A pipeline changed after it was resolved."""


class _Resolved(NamedTuple):
    """A pipeline that was resolved: the entry of its last change, and the ids of the versions in its resolution.

    If they could not be found out, `ids` is None and `why` says why, in words.
    """

    changed: Entry
    ids: frozenset[int] | None
    why: str = ""


class _Wanted(NamedTuple):
    """The arguments of a removal."""

    references: Sequence[Reference]
    all_versions: bool
    force: bool
    reason: str | None

    def select(self, snapshot: Snapshot) -> Selected:
        """Return what the references select."""
        return removals.select_references(snapshot, self.references, all_versions=self.all_versions)


class RemovalOperations(Transactions):
    """Remove versions and ops."""

    def remove(
        self,
        references: str | Reference | Sequence[str | Reference],
        *,
        all_versions: bool = False,
        force: bool = False,
        dry_run: bool = False,
        reason: str | None = None,
        is_cancelled: IsCancelled = never,
    ) -> Removal:
        """Remove versions, or ops by their names (protocol.interface); stop once `is_cancelled` returns True."""
        texts = [references] if isinstance(references, str) else references
        parsed = list(dict.fromkeys(Reference.parse(text) for text in texts))
        if not 1 <= len(parsed) <= MAX_REFERENCES:
            raise errors.InvalidRequest(reason=f"a removal takes 1 to {MAX_REFERENCES} references")
        wanted = _Wanted(parsed, all_versions, force, reason)
        if dry_run:
            resolved = self._resolve(wanted, is_cancelled)
            with self._search_snapshot() as snapshot:
                selected = wanted.select(snapshot)
                found = _found(snapshot, selected, removals.links_of(snapshot, selected), resolved)
            return msgspec.structs.replace(found, dry_run=True)
        removed = self._unless_repeated(Removal, lambda: self._remove_in_tries(wanted, is_cancelled))
        self.database.regain_space()
        return removed

    def _remove_in_tries(self, wanted: _Wanted, is_cancelled: IsCancelled) -> Removal:
        """Resolve the pipelines, which may take long, and remove in a transaction; again if they changed meanwhile."""
        for _ in range(TRIES):
            with suppress(_Changed):
                return self._remove(wanted, self._resolve(wanted, is_cancelled))
        return self._remove(wanted, None)

    def _remove(self, wanted: _Wanted, resolved: Mapping[str, _Resolved] | None) -> Removal:
        """Remove what is wanted; raise StillNeeded, or _Changed if a pipeline is not the one that was resolved.

        If `resolved` is None, nothing is known about the pipelines.
        """

        def work(connection: Connection) -> Removal:
            snapshot = Snapshot(connection)
            selected = wanted.select(snapshot)
            changes = _changes(snapshot, selected)
            if resolved is not None and changes != {name: each.changed for name, each in resolved.items()}:
                raise _Changed
            unknown = {name: _Resolved(changed, None, CHANGES) for name, changed in changes.items()}
            links = removals.links_of(snapshot, selected)
            found = _found(snapshot, selected, links, unknown if resolved is None else resolved)
            if found.broken and not wanted.force:
                raise found.refusal()
            removals.record(connection, selected, links, wanted.reason, self._stamp())
            return msgspec.structs.replace(found, position=journal.last(connection))

        return self._write_freeing(Removal, work)

    def _resolve(self, wanted: _Wanted, is_cancelled: IsCancelled) -> dict[str, _Resolved]:
        """Return the pipelines that have an op of these versions, resolved within one budget."""

        def too_hard(limit: str, _ops: list[str]) -> errors.TooMuchWork:
            return errors.TooMuchWork(question="to find what needs these versions", limit=limit)

        found: dict[str, _Resolved] = {}
        with self._search_snapshot() as snapshot, self.searches.budget(is_cancelled, too_hard) as budget:
            for name, changed in _changes(snapshot, wanted.select(snapshot)).items():
                try:
                    version_set = Resolver(snapshot, PipelineName(name), budget).version_set()
                    found[name] = _Resolved(changed, frozenset(row.id for row in (version_set or {}).values()))
                except LimitReached as limit:
                    found[name] = _Resolved(changed, None, f"can't be told within {limit}")
        return found


def _changes(snapshot: Snapshot, selected: Selected) -> dict[str, Entry]:
    """Return the pipelines in force that have an op of the versions, each with the entry of its last change."""
    names = pipelines.with_ops(snapshot, {row.op_id for row in selected.rows})
    return {name: pipelines.last_change(snapshot, PipelineName(name)) for name in names}


def _found(
    snapshot: Snapshot, selected: Selected, links: Sequence[LinkRow], resolved: Mapping[str, _Resolved]
) -> Removal:
    """Return the record of the removal before it is done."""
    needs = removals.needs_of_links(selected, links) + removals.needs_of_tags(snapshot, selected)
    for name, each in resolved.items():
        needs += _needs_of_pipeline(snapshot, selected, name, each)
    return Removal(
        removed=tuple(map(removals.version, selected.rows)),
        ops=tuple(op.name for op in selected.ops),
        broken=tuple(needs[:MAX_NEEDS]),
        broken_count=len(needs),
        freeable=removals.freeable(snapshot, selected),
    )


def _needs_of_pipeline(snapshot: Snapshot, selected: Selected, name: str, resolved: _Resolved) -> list[Need]:
    def need(row: VersionRow, words: str) -> Need:
        return Need(kind="pipeline", version=removals.version(row), what=name, words=words)

    if resolved.ids is not None:
        rows = [row for row in selected.rows if row.id in resolved.ids]
        return [need(row, f"the pipeline {name} resolves to {removals.version(row)}") for row in rows]
    known = set(pipelines.get(snapshot, PipelineName(name)).ops)
    newest: dict[str, VersionRow] = {}
    for row in selected.rows:
        if row.op in known and row.sequence >= newest.get(row.op, row).sequence:
            newest[row.op] = row
    return [
        need(row, f"whether the pipeline {name} resolves to {removals.version(row)} {resolved.why}")
        for row in newest.values()
    ]
