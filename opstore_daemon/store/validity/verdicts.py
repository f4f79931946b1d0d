"""Verdicts between versions of a snapshot, and the versions that are valid for others."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from opstore_daemon.protocol.names import OpName
from opstore_daemon.protocol.records import EdgeVerdict, OpVersion, SkippedVersion, Validation, VerdictWord, combine
from opstore_daemon.protocol.references import Latest, Line, Range, Reference
from opstore_daemon.protocol.version_sets import set_digest
from opstore_daemon.rules.budget import QUERY_STEPS, ROW_STEPS, Budget
from opstore_daemon.rules.exact_set import exact_set as exact_set_verdict
from opstore_daemon.rules.verdict import EdgeLinks, Verdict
from opstore_daemon.store.catalog import link_queries, ops, references, runs, version_rows
from opstore_daemon.store.catalog.ops import OpRow
from opstore_daemon.store.catalog.version_rows import ALL, VersionRow, Where
from opstore_daemon.store.snapshot import Snapshot

FEW_EDGES = 1000  # whose verdicts take little: 0.1 s
STEPS = 2 * QUERY_STEPS  # that the verdict of an edge costs, or the choice of a version


@dataclass(frozen=True, slots=True)
class Chosen:
    """An op and the version of it that a verdict is about; None if the op has no version."""

    op: OpRow
    version: VersionRow | None


def choose(snapshot: Snapshot, reference: Reference) -> Chosen:
    """Look up a reference; a bare name is the latest version, or None if there is none.

    Raises OpNotFound, and VersionNotFound for a selector that selects nothing.
    """
    return _choose(snapshot, ops.get(snapshot, reference.op), reference)


def choose_all(snapshot: Snapshot, by_op: Mapping[OpName, Reference]) -> dict[str, Chosen]:
    """Look up a reference to each op, as `choose` does."""
    found = ops.get_all(snapshot, by_op)
    return {op: _choose(snapshot, found[op], reference) for op, reference in by_op.items()}


def _choose(snapshot: Snapshot, op: OpRow, reference: Reference) -> Chosen:
    if reference.bare:
        return Chosen(op, version_rows.latest(snapshot, op.id))
    return Chosen(op, references.resolve_reference(snapshot, op.id, reference))


def edge_links(
    snapshot: Snapshot,
    upstream: OpRow,
    candidates: Sequence[VersionRow],
    downstream: OpRow,
    targets: Sequence[VersionRow],
) -> EdgeLinks:
    """Return the links that decide the verdicts of the upstream candidates for each of the targets."""
    links = link_queries.relevant_links(snapshot, upstream, candidates, downstream, targets)
    return EdgeLinks(upstream.name, downstream.name, upstream.compat, links)


def verdicts(snapshot: Snapshot, upstream: OpRow, candidates: Sequence[VersionRow], target: Chosen) -> list[Verdict]:
    """Return the verdict of each upstream candidate for the target, in their order."""
    targets = [] if target.version is None else [target.version]
    links = edge_links(snapshot, upstream, candidates, target.op, targets)
    number = None if target.version is None else target.version.number
    return [links.verdict(row.number, number) for row in candidates]


def edge(snapshot: Snapshot, upstream: Chosen, target: Chosen) -> EdgeVerdict:
    """Return the verdict of an edge between two versions, either of which may be missing."""
    if upstream.version is None:
        verdict = EdgeLinks(upstream.op.name, target.op.name, upstream.op.compat).verdict(None, None)
    else:
        (verdict,) = verdicts(snapshot, upstream.op, [upstream.version], target)
    return EdgeVerdict(
        upstream=op_version(upstream),
        downstream=op_version(target),
        verdict=verdict.word,
        basis=verdict.basis,
        reason=verdict.reason,
    )


def validate(
    snapshot: Snapshot,
    edges: Sequence[tuple[str, str]],
    chosen: Mapping[str, Chosen],
    position: int,
    pipeline: str | None = None,
    budget: Budget | None = None,
) -> Validation:
    """Return the verdict over all edges between the chosen versions, in the order of these.

    No entry after `position` can change it.

    Raises what `budget.spend` raises.
    """
    places = {op: place for place, op in enumerate(chosen)}
    found = []
    for up, down in sorted(edges, key=lambda ends: [places[end] for end in ends]):
        if budget is not None:
            budget.spend(STEPS)
        found.append(edge(snapshot, chosen[up], chosen[down]))
    edge_verdicts = tuple(found)
    return Validation(
        verdict=combine(each.verdict for each in edge_verdicts),
        edges=edge_verdicts,
        versions=tuple(op_version(each) for each in chosen.values()),
        pipeline=pipeline,
        picked_yanked=tuple(snapshot.picked_yanked),
        position=position,
    )


def with_set(
    snapshot: Snapshot,
    found: Validation,
    edges: Sequence[tuple[str, str]],
    chosen: Mapping[str, Chosen],
    *,
    exact_set: bool,
) -> Validation:
    """Return the verdict of a pipeline with its set and the newest run of it; with `exact_set`, that run counts."""
    subversions = {op: each.version.version for op, each in chosen.items() if each.version is not None}
    missing = [op for op in chosen if op not in subversions]
    digest = None if missing else set_digest(edges, subversions)
    run = None if digest is None else runs.newest_of_set(snapshot, digest)
    whole = exact_set_verdict(run, missing) if exact_set else None
    words = [edge.verdict for edge in found.edges] + ([] if whole is None else [whole.verdict])
    return replace(found, verdict=combine(words), set=digest, run=run, exact_set=whole)


def op_version(chosen: Chosen) -> OpVersion:
    """Return the record of a chosen version."""
    return OpVersion(op=chosen.op.name, version=None if chosen.version is None else str(chosen.version.number))


@dataclass(frozen=True, slots=True)
class Selection:
    """The versions that are valid for all targets, newest first; `skipped` are the newer ones that are not."""

    versions: list[VersionRow]
    skipped: list[SkippedVersion]
    verdict: VerdictWord


def select_valid(
    snapshot: Snapshot,
    reference: Reference,
    valid_for: Sequence[Reference],
    limit: int,
    below: int | None,
    budget: Budget,
    among: Where = ALL,
) -> Selection:
    """Select versions that the reference admits and that are valid for all of `valid_for`: at most `limit` versions.

    Reads blocks of the candidates of `latest`, no further than necessary. `below`: the sequence of the last
    version on the previous page. `among`: further conditions that the versions have to meet. Raises what
    `budget.spend` raises.
    """
    op = ops.get(snapshot, reference.op)
    targets = []
    for downstream in dict.fromkeys(valid_for):  # each once
        budget.spend(STEPS)
        targets.append(choose(snapshot, downstream))
    selected: list[VersionRow] = []
    skipped: list[SkippedVersion] = []
    for block in version_rows.blocks(snapshot, op.id, _candidates(snapshot, op, reference, below) & among):
        budget.spend(_steps(block, targets))
        admitted = [row for row in block if references.admits(reference.selector, row)]
        objections = _objections(snapshot, op, admitted, targets)
        for row in admitted:
            if row.id not in objections:
                selected.append(row)
            elif not selected and below is None:
                reason = objections[row.id].reason
                skipped.append(SkippedVersion(op=op.name, version=str(row.number), reason=reason))
            if len(selected) == limit:
                return Selection(selected, skipped, "valid")
    if selected or below is not None:
        return Selection(selected, skipped, "valid")
    return Selection(selected, skipped, _empty_verdict(snapshot, op, reference, targets, budget, among))


def _steps(block: Sequence[VersionRow], targets: Sequence[Chosen]) -> int:
    return (QUERY_STEPS + ROW_STEPS * len(block)) * (1 + len(targets))


def _candidates(snapshot: Snapshot, op: OpRow, reference: Reference, below: int | None) -> Where:
    if isinstance(reference.selector, Latest | Range | Line):
        candidates = version_rows.candidates(snapshot, op.id, references.in_line(reference.selector))
    else:
        candidates = version_rows.with_id(references.resolve_reference(snapshot, op.id, reference).id)
    return candidates & references.in_bounds(reference.selector) & version_rows.older_than(below)


def _objections(snapshot: Snapshot, op: OpRow, rows: list[VersionRow], targets: Sequence[Chosen]) -> dict[int, Verdict]:
    """Return, by version id, the verdict that excludes the version; `invalid` wins over `unknown`."""
    objections: dict[int, Verdict] = {}
    for target in targets if rows else ():
        for row, verdict in zip(rows, verdicts(snapshot, op, rows, target), strict=True):
            wins = row.id not in objections or objections[row.id].word == "unknown"
            if verdict.word != "valid" and wins:
                objections[row.id] = verdict
    return objections


def _empty_verdict(
    snapshot: Snapshot,
    op: OpRow,
    reference: Reference,
    targets: Sequence[Chosen],
    budget: Budget,
    among: Where,
) -> VerdictWord:
    """Return `unknown` if only links are missing: without the targets that have no link, some version is valid.

    An op without versions that the reference admits is `unknown`, too, if some target has no link.
    """
    linked = [target for target in targets if link_queries.any_in_force(snapshot, op, target.op)]
    if len(linked) == len(targets):
        return "invalid"
    has_candidates = False
    for block in version_rows.blocks(snapshot, op.id, _candidates(snapshot, op, reference, None) & among):
        budget.spend(_steps(block, linked))
        admitted = [row for row in block if references.admits(reference.selector, row)]
        has_candidates = has_candidates or bool(admitted)
        if len(_objections(snapshot, op, admitted, linked)) < len(admitted):
            return "unknown"
    return "invalid" if has_candidates else "unknown"
