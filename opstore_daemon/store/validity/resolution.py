"""The resolution of a pipeline in a snapshot, and the upgrade of one op of a lock."""

from collections.abc import Iterator, Mapping, Sequence

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.names import OpName, PipelineName
from opstore_daemon.protocol.records import EdgeVerdict, OpVersion, PipelineRecord, Resolution, SkippedVersion
from opstore_daemon.protocol.references import Reference
from opstore_daemon.rules import resolution
from opstore_daemon.store.catalog import ops, pipelines, versions
from opstore_daemon.store.catalog.ops import OpRow
from opstore_daemon.store.catalog.references import resolve_reference
from opstore_daemon.store.catalog.version_rows import VersionRow
from opstore_daemon.store.snapshot import Snapshot
from opstore_daemon.store.validity.candidates import Candidates, Override

VersionSet = dict[str, VersionRow]  # a version for each op


def references_by_op(pipeline: PipelineRecord, references: Sequence[Reference]) -> dict[OpName, Reference]:
    """Return the references by op; raise InvalidRequest for an op that is not in the pipeline or occurs twice."""
    by_op: dict[OpName, Reference] = {}
    for reference in references:
        if reference.op not in pipeline.ops:
            raise errors.InvalidRequest(reason=f"the pipeline {pipeline.name} has no op {reference.op}")
        if reference.op in by_op:
            raise errors.InvalidRequest(reason=f"there are two references to {reference.op}")
        by_op[reference.op] = reference
    return by_op


class Resolver:
    """Resolves one pipeline in one snapshot."""

    def __init__(
        self,
        snapshot: Snapshot,
        pipeline: PipelineName,
        use: Sequence[Reference] = (),
        lock: Sequence[Reference] = (),
        upgrade: OpName | None = None,
    ) -> None:
        """Resolve the references; raise PipelineNotFound, InvalidRequest and what the lookup of a reference raises.

        `use`: versions that count as the latest of their ops. `lock` and `upgrade` go together: upgrade that op to the
        newest version that it can have, and keep the versions of the lock wherever possible.
        """
        self._snapshot = snapshot
        self._pipeline = pipelines.get(snapshot, pipeline)
        self._ops: dict[str, OpRow] = {op: ops.get(snapshot, OpName(op)) for op in self._pipeline.ops}
        self._use = {op: Override(version, "latest") for op, version in self._look_up(use).items()}
        self._locked = self._look_up(lock)
        if upgrade is not None and upgrade not in self._pipeline.ops:
            raise errors.InvalidRequest(reason=f"the pipeline {pipeline} has no op {upgrade}")
        if (upgrade is None) != (not lock):
            raise errors.InvalidRequest(reason="an upgrade needs both a lock and the op to upgrade")
        self._upgrade = upgrade

    def _look_up(self, references: Sequence[Reference]) -> VersionSet:
        return {
            op: resolve_reference(self._snapshot, self._ops[op].id, reference)
            for op, reference in references_by_op(self._pipeline, references).items()
        }

    def resolve(self) -> Resolution:
        """Return the resolution, or the record that says why there is none."""
        candidates = self._candidates(self._use)
        version_set = self._search(candidates) if self._upgrade is None else self._search_upgrade(self._upgrade)
        if version_set is None:
            return self._failure(candidates)
        rows = [version_set[op] for op in self._pipeline.ops]
        return Resolution(
            pipeline=self._pipeline.name,
            verdict="valid",
            versions=tuple(versions.records(self._snapshot, rows)),
            edges=self._pipeline.edges,
            skipped=tuple(self._skipped(version_set, candidates)),
            picked_yanked=tuple(self._snapshot.picked_yanked),
            position=self._snapshot.last_position(),
        )

    def _candidates(self, overrides: Mapping[str, Override], *, accept_unknown: bool = False) -> Candidates:
        return Candidates(self._snapshot, self._ops, self._pipeline.edges, overrides, accept_unknown=accept_unknown)

    def _search(self, candidates: Candidates) -> VersionSet | None:
        return resolution.resolve(self._pipeline.ops, self._pipeline.edges, candidates)

    def _search_upgrade(self, op: str) -> VersionSet | None:
        """Return the set with the newest possible version of the op that moves no op which could keep its version."""
        locked = {other: Override(version, "extra") for other, version in self._locked.items() if other != op}
        for target in self._candidates(self._use).newest_first(op):
            overrides: dict[str, Override] = {**locked, **self._use, op: Override(target, "only")}
            version_set = self._search(self._candidates(overrides))
            if version_set is None:
                continue
            for other in resolution.search_order(self._pipeline.ops, self._pipeline.edges):
                if other != op and other in self._locked:
                    keeping = {**overrides, other: Override(self._locked[other], "only")}
                    keeping_set = self._search(self._candidates(keeping))
                    if keeping_set is not None:
                        overrides, version_set = keeping, keeping_set
            return version_set
        return None

    def _failure(self, candidates: Candidates) -> Resolution:
        empty = [op for op in self._pipeline.ops if next(iter(candidates.newest_first(op)), None) is None]
        only_links_missing = not empty and self._search(self._candidates(self._use, accept_unknown=True)) is not None
        return Resolution(
            pipeline=self._pipeline.name,
            verdict="unknown" if only_links_missing else "invalid",
            versions=(),
            edges=self._pipeline.edges,
            skipped=tuple(SkippedVersion(op=op, version="-", reason=f"{op} has no version to choose") for op in empty),
            conflict=() if empty else tuple(self._conflict(candidates)),
            picked_yanked=tuple(self._snapshot.picked_yanked),
            position=self._snapshot.last_position(),
        )

    def _conflict(self, candidates: Candidates) -> Iterator[EdgeVerdict]:
        """Yield the conflicting edges with the verdict between the newest candidates of their ops."""
        for up, down in resolution.find_conflict(self._pipeline.edges, candidates):
            upstream, downstream = next(iter(candidates.newest_first(up))), next(iter(candidates.newest_first(down)))
            verdict = candidates.verdict((up, down), upstream, downstream)
            reason = verdict.reason
            if verdict.word == "valid":
                reason += ", but no valid pair of versions fits the other edges"
            yield EdgeVerdict(
                upstream=OpVersion(op=up, version=str(upstream.number)),
                downstream=OpVersion(op=down, version=str(downstream.number)),
                verdict=verdict.word,
                reason=reason,
                by_entry=verdict.by_entry,
            )

    def _skipped(self, version_set: VersionSet, candidates: Candidates) -> Iterator[SkippedVersion]:
        """Yield the candidates that are newer than the version in the set, with the reason."""
        for op in self._pipeline.ops:
            for row in candidates.newest_first(op):
                if row.sequence <= version_set[op].sequence:
                    break
                reason = self._objection(row, version_set, candidates)
                yield SkippedVersion(op=op, version=str(row.number), reason=reason)

    def _objection(self, row: VersionRow, version_set: VersionSet, candidates: Candidates) -> str:
        """Return why the set has an older version: the verdict of a downstream op, else of an upstream op."""
        edges = self._pipeline.edges
        for down in (down for up, down in edges if up == row.op):
            verdict = candidates.verdict((row.op, down), row, version_set[down])
            if verdict.word != "valid":
                return verdict.reason
        for up in (up for up, down in edges if down == row.op):
            verdict = candidates.verdict((up, row.op), version_set[up], row)
            if verdict.word != "valid":
                return f"{verdict.reason}, and no valid set contains it with another {up}"
        return "no valid set contains it"
