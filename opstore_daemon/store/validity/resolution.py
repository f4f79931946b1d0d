"""The resolution of a pipeline in a snapshot, and the upgrade of one op of a lock."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.names import OpName, PipelineName
from opstore_daemon.protocol.records import EdgeVerdict, OpVersion, PipelineRecord, Resolution, SkippedVersion
from opstore_daemon.protocol.references import Reference
from opstore_daemon.rules import resolution
from opstore_daemon.rules.budget import Budget, LimitReached
from opstore_daemon.rules.verdict import Verdict
from opstore_daemon.store.catalog import ops, pipelines, versions
from opstore_daemon.store.catalog.references import resolve_reference
from opstore_daemon.store.catalog.version_rows import VersionRow
from opstore_daemon.store.snapshot import Snapshot
from opstore_daemon.store.validity import locks
from opstore_daemon.store.validity.candidates import Candidates, Override
from opstore_daemon.store.validity.locks import LockedOp

T = TypeVar("T")
VERDICT_STEPS = 5  # that a reason costs
VersionSet = dict[str, VersionRow]  # a version for each op


def references_by_op(pipeline: PipelineRecord, references: Sequence[Reference]) -> dict[OpName, Reference]:
    """Return the references by op; raise InvalidRequest for an op that is not in the pipeline or occurs twice."""
    by_op: dict[OpName, Reference] = {}
    known = set(pipeline.ops)
    for reference in references:
        if reference.op not in known:
            raise errors.InvalidRequest(reason=f"the pipeline {pipeline.name} has no op {reference.op}")
        if reference.op in by_op:
            raise errors.InvalidRequest(reason=f"there are two references to {reference.op}")
        by_op[reference.op] = reference
    return by_op


class Resolver:
    """Resolves one pipeline in one snapshot, within one budget."""

    def __init__(
        self,
        snapshot: Snapshot,
        pipeline: PipelineName,
        budget: Budget,
        use: Sequence[Reference] = (),
        lock: Sequence[LockedOp] = (),
        upgrade: OpName | None = None,
    ) -> None:
        """Resolve the references; raise PipelineNotFound, InvalidRequest, LockConflict and what a lookup raises.

        `use`: versions that count as the latest of their ops. `lock` and `upgrade` go together: upgrade that op to the
        newest version that it can have, and keep the versions of the lock wherever possible.
        """
        self._snapshot, self._budget = snapshot, budget
        self._pipeline = pipelines.get(snapshot, pipeline)
        budget.add_edges(len(self._pipeline.edges))
        self._ops = ops.get_all(snapshot, map(OpName, self._pipeline.ops))
        self._use = {op: Override(version, "latest") for op, version in self._look_up(use).items()}
        self._locked = self._select(lock)
        if upgrade is not None and upgrade not in self._pipeline.ops:
            raise errors.InvalidRequest(reason=f"the pipeline {pipeline} has no op {upgrade}")
        if (upgrade is None) != (not lock):
            raise errors.InvalidRequest(reason="an upgrade needs both a lock and the op to upgrade")
        self._upgrade = upgrade
        self._downstreams: dict[str, list[str]] = {op: [] for op in self._pipeline.ops}
        self._upstreams: dict[str, list[str]] = {op: [] for op in self._pipeline.ops}
        for up, down in self._pipeline.edges:
            self._downstreams[up].append(down)
            self._upstreams[down].append(up)
        self._candidates = Candidates(snapshot, self._ops, self._use, budget)

    def _look_up(self, references: Sequence[Reference]) -> VersionSet:
        return {
            op: resolve_reference(self._snapshot, self._ops[op].id, reference)
            for op, reference in references_by_op(self._pipeline, references).items()
        }

    def _select(self, lock: Sequence[LockedOp]) -> VersionSet:
        for locked in lock:
            if locked.op not in self._ops:
                raise errors.InvalidRequest(reason=f"the pipeline {self._pipeline.name} has no op {locked.op}")
        return {row.op: row for row in locks.select(self._snapshot, lock)}

    def resolve(self) -> Resolution:
        """Return the resolution, or the record that says why there is none. Raises what `budget.spend` raises.

        Once the verdict is known, a budget that ends only makes the explanation incomplete: `explained` is False.
        """
        search = self._search(self._use) if self._upgrade is None else self._search_upgrade(self._upgrade)
        if search is None:
            return self._failure()
        rows = [search[op] for op in self._pipeline.ops]
        skipped, explained = _until_exceeded(self._skipped(search))
        return Resolution(
            pipeline=self._pipeline.name,
            verdict="valid",
            versions=tuple(versions.records(self._snapshot, rows)),
            edges=self._pipeline.edges,
            skipped=tuple(skipped),
            explained=explained,
            picked_yanked=tuple(self._snapshot.picked_yanked),
            position=self._snapshot.last_position(),
        )

    def version_set(self) -> VersionSet | None:
        """Return the version of each op in the resolution; None if there is none. Raises what `budget.spend` raises."""
        return self._search(self._use)

    def _search(self, overrides: Mapping[str, Override], *, accept_unknown: bool = False) -> VersionSet | None:
        candidates = self._candidates.replace(overrides, accept_unknown=accept_unknown)
        return resolution.resolve(self._pipeline.ops, self._pipeline.edges, candidates, self._budget)

    def _search_upgrade(self, op: str) -> VersionSet | None:
        """Return the set with the newest possible version of the op that moves no op which could keep its version."""
        free: dict[str, Override] = {
            other: Override(row, "extra") for other, row in self._locked.items() if other != op
        }
        free |= self._use
        version_set = self._newest_of(op, free)
        if version_set is None:
            return None
        settled = {**free, op: Override(version_set[op], "only")}
        order = resolution.search_order(self._pipeline.ops, self._pipeline.edges)
        others = [other for other in order if other != op and other in self._locked]
        while others:
            kept, version_set = self._keep(others, settled, version_set)
            settled |= kept
            del others[: len(kept) + 1]  # the one after these has to move
        return version_set

    def _newest_of(self, op: str, overrides: Mapping[str, Override]) -> VersionSet | None:
        """Return a set with the newest version of the op that any set has; None if there is no set."""
        # Not a search for each version of the op, from the newest on: there can be thousands that no set has.
        newest = self._search(overrides)
        while newest is not None and self._candidates.can_be_newer(op, newest[op], self._downstreams[op]):
            newer = self._search({**overrides, op: Override(newest[op], "newer")})
            if newer is None:
                break
            newest = newer
        return newest

    def _keep(
        self, ops: Sequence[str], settled: Mapping[str, Override], version_set: VersionSet
    ) -> tuple[dict[str, Override], VersionSet]:
        """Return the longest prefix of the ops that can keep their locked versions, and a set in which they do.

        `version_set` is a set for the overrides `settled`.
        """
        locked = {op: Override(self._locked[op], "only") for op in ops}
        kept, possible = 0, len(ops)
        count = possible  # most often, all can
        while kept < possible:
            prefix = {op: locked[op] for op in ops[:count]}
            found = self._search({**settled, **prefix})
            if found is None:
                possible = count - 1
            else:
                kept, version_set = count, found
            count = (kept + possible + 1) // 2
        return {op: locked[op] for op in ops[:kept]}, version_set

    def _failure(self) -> Resolution:
        empty = [op for op in self._pipeline.ops if self._newest(op) is None]
        only_links_missing = not empty and self._search(self._use, accept_unknown=True) is not None
        conflict, explained = ([], True) if empty else _until_exceeded(self._conflict())
        return Resolution(
            pipeline=self._pipeline.name,
            verdict="unknown" if only_links_missing else "invalid",
            versions=(),
            edges=self._pipeline.edges,
            skipped=tuple(SkippedVersion(op=op, version="-", reason=f"{op} has no version to choose") for op in empty),
            conflict=tuple(conflict),
            explained=explained,
            picked_yanked=tuple(self._snapshot.picked_yanked),
            position=self._snapshot.last_position(),
        )

    def _newest(self, op: str) -> VersionRow | None:
        return next(iter(self._candidates.newest_first(op)), None)

    def _conflict(self) -> Iterator[EdgeVerdict]:
        """Yield the conflicting edges with the verdict between the newest candidates of their ops."""
        for up, down in resolution.find_conflict(self._pipeline.edges, self._candidates, self._budget):
            upstream, downstream = self._newest(up), self._newest(down)
            assert upstream is not None and downstream is not None, "no op is empty"  # noqa: S101, PT018
            verdict = self._candidates.verdict((up, down), upstream, downstream)
            reason = verdict.reason
            if verdict.word == "valid":
                reason += ", but no valid pair of versions fits the other edges"
            yield EdgeVerdict(
                upstream=OpVersion(op=up, version=str(upstream.number)),
                downstream=OpVersion(op=down, version=str(downstream.number)),
                verdict=verdict.word,
                basis=verdict.basis,
                reason=reason,
            )

    def _skipped(self, version_set: VersionSet) -> Iterator[SkippedVersion]:
        """Yield the candidates that are newer than the version in the set, with the reason."""
        for op in self._pipeline.ops:
            for row in self._candidates.newest_first(op):
                if row.sequence <= version_set[op].sequence:
                    break
                reason = self._objection(row, version_set)
                yield SkippedVersion(op=op, version=str(row.number), reason=reason)

    def _objection(self, row: VersionRow, version_set: VersionSet) -> str:
        """Return why the set has an older version: the verdict of a downstream op, else of an upstream op."""
        for down in self._downstreams[row.op]:
            verdict = self._verdict((row.op, down), row, version_set[down])
            if verdict.word != "valid":
                return verdict.reason
        for up in self._upstreams[row.op]:
            verdict = self._verdict((up, row.op), version_set[up], row)
            if verdict.word != "valid":
                return f"{verdict.reason}, and no valid set contains it with another {up}"
        return "no valid set contains it"

    def _verdict(self, edge: resolution.Edge, upstream: VersionRow, downstream: VersionRow) -> Verdict:
        self._budget.spend(VERDICT_STEPS)
        return self._candidates.verdict(edge, upstream, downstream)


def _until_exceeded(explanation: Iterator[T]) -> tuple[list[T], bool]:
    """Return the items that the budget suffices for, and whether these are all."""
    items: list[T] = []
    try:
        items.extend(explanation)
    except LimitReached:
        return items, False
    return items, True
