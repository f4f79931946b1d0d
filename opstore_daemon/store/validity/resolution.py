"""Resolution, what a lock still holds of it, and what a version affects: the rules asked about a view."""

from collections.abc import Iterator, Mapping, Sequence

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.digests import parse_digest
from opstore_daemon.protocol.names import check_name
from opstore_daemon.protocol.records import (
    Affected,
    AffectedOp,
    Check,
    EdgeVerdict,
    Lock,
    OpVersion,
    PipelineRecord,
    Resolution,
    SkippedVersion,
    VerdictWord,
)
from opstore_daemon.protocol.references import Reference, parse_reference
from opstore_daemon.protocol.versions import Version
from opstore_daemon.rules import affected as affection
from opstore_daemon.rules import resolution
from opstore_daemon.rules.verdict import Verdict
from opstore_daemon.store.catalog import links, ops, pipelines, version_rows, versions
from opstore_daemon.store.catalog.ops import OpRow
from opstore_daemon.store.catalog.references import resolve_reference
from opstore_daemon.store.catalog.version_rows import VersionRow
from opstore_daemon.store.snapshot import Snapshot
from opstore_daemon.store.validity import verdicts
from opstore_daemon.store.validity.candidates import Candidates, Override
from opstore_daemon.store.validity.verdicts import Chosen

Set = dict[str, VersionRow]


def of_pipeline(graph: PipelineRecord, references: Sequence[str]) -> dict[str, Reference]:
    """References by the op that each is of; raises InvalidRequest for an op that the pipeline has not, or twice."""
    found: dict[str, Reference] = {}
    for reference in map(parse_reference, references):
        if reference.op not in graph.ops:
            raise errors.InvalidRequest(reason=f"{reference.op} is no op of the pipeline {graph.name}")
        if reference.op in found:
            raise errors.InvalidRequest(reason=f"{reference.op} is named twice")
        found[reference.op] = reference
    return found


class Resolving:
    """The resolution of one pipeline in one view.

    `use` are the versions that count as the latest of their ops; `lock` those that stay, but for what must move so
    that the op `upgrade` gets the newest version that it can have.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        pipeline: str,
        use: Sequence[str] = (),
        lock: Sequence[str] = (),
        upgrade: str | None = None,
    ) -> None:
        self._snapshot = snapshot
        self._graph = graph = pipelines.get(snapshot, pipeline)
        self._ops: dict[str, OpRow] = {op: ops.get(snapshot, op) for op in graph.ops}
        used = of_pipeline(graph, use)
        self._use = {op: Override(self._pick(reference), "latest") for op, reference in used.items()}
        kept = of_pipeline(graph, lock)
        self._kept = {op: self._pick(reference) for op, reference in kept.items()}
        if upgrade is not None and upgrade not in graph.ops:
            raise errors.InvalidRequest(reason=f"{upgrade} is no op of the pipeline {pipeline}")
        if (upgrade is None) != (not lock):
            raise errors.InvalidRequest(reason="a lock and the op to upgrade go together")
        self._upgrade = upgrade

    def _pick(self, reference: Reference) -> VersionRow:
        return resolve_reference(self._snapshot, self._ops[reference.op].id, reference)

    def answer(self) -> Resolution:
        """The resolution, or why there is none."""
        candidates = self._candidates(self._use)
        found = self._resolve(candidates) if self._upgrade is None else self._upgraded(self._upgrade)
        if found is None:
            return self._none(candidates)
        rows = [found[op] for op in self._graph.ops]
        return Resolution(
            pipeline=self._graph.name,
            verdict="valid",
            versions=tuple(versions.records(self._snapshot, rows)),
            edges=self._graph.edges,
            skipped=tuple(self._passed_over(found, candidates)),
            picked_yanked=tuple(self._snapshot.picked_yanked),
            position=self._snapshot.last_position(),
        )

    def _candidates(self, overrides: Mapping[str, Override], *, accept_unknown: bool = False) -> Candidates:
        return Candidates(self._snapshot, self._ops, self._graph.edges, overrides, accept_unknown=accept_unknown)

    def _resolve(self, candidates: Candidates) -> Set | None:
        return resolution.resolve(self._graph.ops, self._graph.edges, candidates)

    def _upgraded(self, op: str) -> Set | None:
        """The set in which that op is the newest that it can be, and no op has moved that could have stayed."""
        kept = {other: Override(version, "extra") for other, version in self._kept.items() if other != op}
        for target in self._candidates(self._use).newest_first(op):
            moved: dict[str, Override] = {**kept, **self._use, op: Override(target, "only")}
            found = self._resolve(self._candidates(moved))
            if found is None:
                continue
            for other in resolution.order(self._graph.ops, self._graph.edges):
                if other != op and other in self._kept:
                    staying = {**moved, other: Override(self._kept[other], "only")}
                    stays = self._resolve(self._candidates(staying))
                    if stays is not None:
                        moved, found = staying, stays
            return found
        return None

    def _none(self, candidates: Candidates) -> Resolution:
        empty = [op for op in self._graph.ops if next(iter(candidates.newest_first(op)), None) is None]
        accept_unknown = None if empty else self._resolve(self._candidates(self._use, accept_unknown=True))
        word: VerdictWord = "invalid" if accept_unknown is None else "unknown"
        return Resolution(
            pipeline=self._graph.name,
            verdict=word,
            versions=(),
            edges=self._graph.edges,
            skipped=tuple(SkippedVersion(op=op, version="-", reason=f"{op} has no version to choose") for op in empty),
            conflict=() if empty else tuple(self._conflict(candidates)),
            picked_yanked=tuple(self._snapshot.picked_yanked),
            position=self._snapshot.last_position(),
        )

    def _conflict(self, candidates: Candidates) -> Iterator[EdgeVerdict]:
        for up, down in resolution.conflict(self._graph.edges, candidates):
            newest, target = next(iter(candidates.newest_first(up))), next(iter(candidates.newest_first(down)))
            told = candidates.between((up, down), newest, target).verdict(newest.number, target.number)
            reason = told.reason if told.word != "valid" else f"{told.reason}; with the other edges no pair is left"
            yield EdgeVerdict(
                upstream=OpVersion(op=up, version=str(newest.number)),
                downstream=OpVersion(op=down, version=str(target.number)),
                verdict=told.word,
                reason=reason,
                by_entry=told.by_entry,
            )

    def _passed_over(self, found: Set, candidates: Candidates) -> Iterator[SkippedVersion]:
        downstreams: dict[str, list[str]] = {op: [] for op in self._graph.ops}
        upstreams: dict[str, list[str]] = {op: [] for op in self._graph.ops}
        for up, down in self._graph.edges:
            downstreams[up].append(down)
            upstreams[down].append(up)
        for op in self._graph.ops:
            for row in candidates.newest_first(op):
                if row.sequence <= found[op].sequence:
                    break
                reason = self._objection(row, downstreams[op], upstreams[op], found, candidates)
                yield SkippedVersion(op=op, version=str(row.number), reason=reason)

    def _objection(
        self, row: VersionRow, downstreams: Sequence[str], upstreams: Sequence[str], found: Set, candidates: Candidates
    ) -> str:
        """Why the set has an older version: by the downstream that does not take it, else by what it would need."""
        for down in downstreams:
            told = candidates.between((row.op, down), row, found[down]).verdict(row.number, found[down].number)
            if told.word != "valid":
                return told.reason
        for up in upstreams:
            told = candidates.between((up, row.op), found[up], row).verdict(found[up].number, row.number)
            if told.word != "valid":
                return f"{told.reason}, and no set has another {up} with it"
        return "no set has it"


def check(snapshot: Snapshot, pipeline: str, lock: Lock) -> Check:
    """Whether the lock still holds."""
    _check_form(lock)
    graph = pipelines.get(snapshot, pipeline)
    findings: list[str] = []
    if sorted(lock.edges) != sorted(graph.edges) or {each.op for each in lock.versions} != set(graph.ops):
        findings.append(f"the pipeline {pipeline} has other edges or ops now")
    chosen: dict[str, Chosen] = {}
    for locked in lock.versions:
        op = ops.find(snapshot, locked.op)
        row = None if op is None else version_rows.by_subversions(snapshot, op.id, Version.parse(locked.subversions))
        if op is None or row is None:
            findings.append(f"{locked.op} has no version {locked.subversions} any more")
        else:
            chosen[locked.op] = Chosen(op, row)
            findings += _changed(row, locked.digest)
    for up, down in graph.edges:
        if up in chosen and down in chosen:
            told = verdicts.edge(snapshot, chosen[up], chosen[down])
            if told.verdict != "valid":
                findings.append(f"{up} -> {down} is {told.verdict}: {told.reason}")
    return Check(pipeline=pipeline, holds=not findings, findings=tuple(findings), position=snapshot.last_position())


def _check_form(lock: Lock) -> None:
    for name in (*(op for edge in lock.edges for op in edge), *(each.op for each in lock.versions)):
        check_name(name)
    for each in lock.versions:
        Version.parse(each.subversions)
        if each.digest is not None:
            parse_digest(each.digest)


def _changed(row: VersionRow, digest: str | None) -> Iterator[str]:
    name = f"{row.op}@{row.number}"
    if row.yank_reason is not None:
        yield f"{name} is yanked: {row.yank_reason}"
    if digest is not None and row.digest != digest:
        yield f"{name} has other bytes here: {row.digest or 'none'}"


def affected(snapshot: Snapshot, reference: str, pipeline: str | None) -> Affected:
    """The ops that have to be retrained for a version: within one pipeline, or by all pipelines and links there are."""
    chosen = verdicts.choose(snapshot, parse_reference(reference))
    if chosen.version is None:
        raise errors.VersionNotFound(op=chosen.op.name, selector="the latest")
    graph = None if pipeline is None else pipelines.get(snapshot, pipeline)
    known: dict[str, Chosen] = {}

    def latest(op: str) -> Chosen:
        if op not in known:
            known[op] = verdicts.choose(snapshot, parse_reference(op))
        return known[op]

    def downstreams(op: str) -> list[str]:
        if graph is not None:
            return [down for up, down in graph.edges if up == op]
        row = chosen.op if op == chosen.op.name else latest(op).op
        return [*pipelines.downstreams(snapshot, row), *links.downstreams(snapshot, row)]

    def verdict(op: str) -> Verdict:
        told = verdicts.edge(snapshot, chosen, latest(op))
        return Verdict(told.verdict, told.reason)

    found = affection.affected(chosen.op.name, downstreams, verdict)
    told = [
        AffectedOp(op=op, version=verdicts.op_number(latest(op)).version, verdict=why.word, reason=why.reason)
        for op, why in found
    ]
    picked = tuple(snapshot.picked_yanked)
    return Affected(version=verdicts.op_number(chosen), affected=tuple(told), picked_yanked=picked)
