"""Links and what follows from them: verdicts, resolutions, locks and affected ops."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from sqlalchemy import Connection

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.limits import MAX_TIMEOUT
from opstore_daemon.protocol.names import OpName, PipelineName
from opstore_daemon.protocol.records import (
    Affected,
    Check,
    Linked,
    LinkRecord,
    Links,
    LinkState,
    Lock,
    PipelineRecord,
    Resolution,
    Validation,
)
from opstore_daemon.protocol.references import Reference
from opstore_daemon.rules.budget import Budget
from opstore_daemon.store.catalog import links, ops, pipelines, references
from opstore_daemon.store.catalog.links import Filter
from opstore_daemon.store.journal import Entry
from opstore_daemon.store.paging import check_limit, next_cursor
from opstore_daemon.store.places import IsCancelled, never
from opstore_daemon.store.snapshot import Snapshot
from opstore_daemon.store.transactions import Transactions
from opstore_daemon.store.validity import affected, locks, resolution, verdicts
from opstore_daemon.store.validity.resolution import Resolver

HasVerdict = Callable[[Entry], bool]  # whether the caller already has the verdict as of an entry


class LatestVerdict(NamedTuple):
    """The last entry that a verdict may depend on, and the verdict; None if the caller has it already."""

    entry: Entry
    verdict: Validation | None = None


def _has_none(_entry: Entry) -> bool:
    return False


class ValidityOperations(Transactions):
    """Record links, validate, resolve, check locks, find affected ops."""

    def link(self, upstream: str, downstream: str, *, valid: bool = True, evidence: str | None = None) -> LinkRecord:
        """Record a link (protocol.interface)."""
        return self.record_link(upstream, downstream, "valid" if valid else "invalid", evidence).link

    def unlink(self, upstream: str, downstream: str) -> LinkRecord:
        """Revoke a link (protocol.interface)."""
        return self.record_link(upstream, downstream, "revoked", None).link

    def record_link(self, upstream: str, downstream: str, state: LinkState, evidence: str | None) -> Linked:
        """Record a link in that state; return the link, or, for `revoked`, the link that it revokes."""
        up, down = Reference.parse(upstream), Reference.parse(downstream)

        def work(connection: Connection) -> Linked:
            snapshot = Snapshot(connection)
            key = links.link_key(snapshot, references.find_version(snapshot, up), down)
            record = links.record_link(connection, key, state, evidence, self._stamp())
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
        """Return the links in force, or all entries (protocol.interface)."""
        filter_ = Filter.parse(op, upstream, downstream, history=history)
        return list(self.links_page(filter_, None, check_limit(limit), as_of=as_of).links)

    def links_page(self, filter_: Filter, below: int | None, limit: int, *, as_of: str | None = None) -> Links:
        """Return a page of links, newest first: at most `limit` links below a position."""
        with self._snapshot(as_of) as snapshot:
            page = links.records(snapshot, filter_, below, limit)
        return Links(links=tuple(page), next_cursor=next_cursor(page, limit, lambda link: str(link.position)))

    def validate(self, upstream: str, downstream: str, *, as_of: str | None = None) -> Validation:
        """Return the verdict for one edge (protocol.interface)."""
        verdict = self.edge_verdict(upstream, downstream, as_of).verdict
        assert verdict is not None, "only a verdict that the caller has is left out"  # noqa: S101
        return verdict

    def edge_verdict(
        self,
        upstream: str,
        downstream: str,
        as_of: str | None = None,
        unless: HasVerdict = _has_none,
    ) -> LatestVerdict:
        """Return the verdict for one edge, or only its last entry if the caller has the verdict as of that entry."""
        up, down = Reference.parse(upstream), Reference.parse(downstream)
        if up.op == down.op:
            raise errors.InvalidRequest(reason=f"{up.op} can't be its own upstream")
        with self._snapshot(as_of) as snapshot:
            entry = ops.last_change(snapshot, [up.op, down.op])
            if unless(entry):
                return LatestVerdict(entry)
            chosen = verdicts.choose_all(snapshot, {each.op: each for each in (up, down)})
            return LatestVerdict(entry, verdicts.validate(snapshot, [(up.op, down.op)], chosen, entry.position))

    def validate_pipeline(
        self, pipeline: str, *, use: Sequence[str] = (), as_of: str | None = None, exact_set: bool = False
    ) -> Validation:
        """Return the verdict over all edges of a pipeline (protocol.interface)."""
        verdict = self.pipeline_verdict(pipeline, use, as_of, exact_set=exact_set).verdict
        assert verdict is not None, "only a verdict that the caller has is left out"  # noqa: S101
        return verdict

    def pipeline_verdict(
        self,
        pipeline: str,
        use: Sequence[str] = (),
        as_of: str | None = None,
        unless: HasVerdict = _has_none,
        is_cancelled: IsCancelled = never,
        *,
        exact_set: bool = False,
    ) -> LatestVerdict:
        """Return the verdict for a pipeline, or only its last entry if the caller has the verdict as of that entry.

        Stops once `is_cancelled` returns True. Raises TooManySearches: that of a large pipeline takes as long as a
        search.
        """
        name, used = PipelineName.parse(pipeline), [Reference.parse(text) for text in use]

        def too_hard(limit: str, _ops: list[str]) -> errors.TooMuchWork:
            return errors.TooMuchWork(question=f"to validate {name}", limit=limit)

        with self._snapshot(as_of) as snapshot:
            entry = pipelines.last_change(snapshot, name)
            if unless(entry):
                return LatestVerdict(entry)
            graph = pipelines.get(snapshot, name)
            if len(graph.edges) <= verdicts.FEW_EDGES:
                found = _verdict(snapshot, graph, used, entry.position, Budget(), exact_set=exact_set)
                return LatestVerdict(entry, found)
        with self._search_snapshot(as_of) as snapshot, self.searches.budget(is_cancelled, too_hard) as budget:
            entry, graph = pipelines.last_change(snapshot, name), pipelines.get(snapshot, name)
            found = _verdict(snapshot, graph, used, entry.position, budget, exact_set=exact_set)
            return LatestVerdict(entry, found)

    def resolve(
        self,
        pipeline: str,
        *,
        use: Sequence[str] = (),
        lock: Lock | None = None,
        upgrade: str | None = None,
        as_of: str | None = None,
        timeout: float | None = None,
        is_cancelled: IsCancelled = never,
    ) -> Resolution:
        """Return the resolution of a pipeline (protocol.interface); end the search once `is_cancelled` returns True."""
        name = PipelineName.parse(pipeline)
        used, locked = [Reference.parse(text) for text in use], [] if lock is None else locks.parse(lock)
        upgraded = None if upgrade is None else OpName.parse(upgrade)
        if timeout is not None and not 0 < timeout <= MAX_TIMEOUT:
            raise errors.InvalidRequest(reason=f"the timeout has to be above 0 and at most {MAX_TIMEOUT} seconds")

        def too_hard(limit: str, ops: list[str]) -> errors.ResolutionTooHard:
            return errors.ResolutionTooHard(pipeline=name, limit=limit, ops=ops, most=", ".join(ops) or "none")

        with self._search_snapshot(as_of) as snapshot, self.searches.budget(is_cancelled, too_hard, timeout) as budget:
            return Resolver(snapshot, name, budget, used, locked, upgraded).resolve()

    def check_lock(self, pipeline: str, lock: Lock) -> Check:
        """Return whether a lock still holds (protocol.interface)."""
        name = PipelineName.parse(pipeline)
        with self._snapshot() as snapshot:
            return locks.check_lock(snapshot, name, lock)

    def affected(
        self,
        reference: str,
        *,
        pipeline: str | None = None,
        as_of: str | None = None,
        is_cancelled: IsCancelled = never,
    ) -> Affected:
        """Return the ops to retrain for a version (protocol.interface); stop once `is_cancelled` returns True."""
        parsed = Reference.parse(reference)
        name = None if pipeline is None else PipelineName.parse(pipeline)

        def too_hard(limit: str, _ops: list[str]) -> errors.TooMuchWork:
            return errors.TooMuchWork(question=f"to find all ops that {parsed} affects", limit=limit)

        with self._search_snapshot(as_of) as snapshot, self.searches.budget(is_cancelled, too_hard) as budget:
            return affected.find_affected(snapshot, parsed, name, budget)


def _verdict(
    snapshot: Snapshot,
    graph: PipelineRecord,
    used: Sequence[Reference],
    position: int,
    budget: Budget,
    *,
    exact_set: bool,
) -> Validation:
    budget.add_edges(len(graph.edges))
    by_op = resolution.references_by_op(graph, used)
    budget.spend(verdicts.STEPS * len(graph.ops))
    latest = {op: Reference.of(op, None) for op in map(OpName, graph.ops)}
    chosen = verdicts.choose_all(snapshot, latest | by_op)
    found = verdicts.validate(snapshot, graph.edges, chosen, position, graph.name, budget)
    return verdicts.with_set(snapshot, found, graph.edges, chosen, exact_set=exact_set)
