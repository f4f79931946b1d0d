"""Verdicts: the rules asked about what a view has."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from opstore_daemon.protocol.records import EdgeVerdict, OpVersion, SkippedVersion, Validation, VerdictWord
from opstore_daemon.protocol.references import Latest, Line, Range, Reference, parse_reference
from opstore_daemon.rules.verdict import EdgeLinks, Verdict, combine
from opstore_daemon.store.catalog import link_queries, ops, references, version_rows
from opstore_daemon.store.catalog.ops import OpRow
from opstore_daemon.store.catalog.version_rows import VersionRow, Where
from opstore_daemon.store.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Chosen:
    """An op, and its version if it has one."""

    op: OpRow
    version: VersionRow | None


def choose(snapshot: Snapshot, reference: Reference) -> Chosen:
    """What a reference names; a bare name is its latest, or none where it has no version."""
    op = ops.get(snapshot, reference.op)
    version = (
        version_rows.latest(snapshot, op.id)
        if reference.bare
        else references.resolve_reference(snapshot, op.id, reference)
    )
    return Chosen(op, version)


def verdicts(snapshot: Snapshot, upstream: OpRow, candidates: Sequence[VersionRow], to: Chosen) -> list[Verdict]:
    """The verdict of each candidate, in their order."""
    targets = [] if to.version is None else [to.version]
    found = link_queries.relevant_links(snapshot, upstream, candidates, to.op, targets)
    between = EdgeLinks(upstream.name, to.op.name, upstream.compat, found)
    number = None if to.version is None else to.version.number
    return [between.verdict(row.number, number) for row in candidates]


def edge(snapshot: Snapshot, upstream: Chosen, to: Chosen) -> EdgeVerdict:
    """The verdict between two versions, either of which may be none."""
    if upstream.version is None:
        verdict = EdgeLinks(upstream.op.name, to.op.name, upstream.op.compat).verdict(None, None)
    else:
        (verdict,) = verdicts(snapshot, upstream.op, [upstream.version], to)
    return EdgeVerdict(
        upstream=op_number(upstream),
        downstream=op_number(to),
        verdict=verdict.word,
        reason=verdict.reason,
        by_entry=verdict.by_entry,
    )


def validate(
    snapshot: Snapshot,
    edges: Sequence[tuple[str, str]],
    chosen: Mapping[str, Chosen],
    position: int,
    pipeline: str | None = None,
) -> Validation:
    """The verdict over all edges between the versions that were chosen for the ops; it depends on no later entry."""
    told = tuple(edge(snapshot, chosen[up], chosen[down]) for up, down in edges)
    return Validation(
        verdict=combine(verdict.verdict for verdict in told),
        edges=told,
        versions=tuple(op_number(version) for version in chosen.values()),
        pipeline=pipeline,
        picked_yanked=tuple(snapshot.picked_yanked),
        position=position,
    )


def op_number(chosen: Chosen) -> OpVersion:
    """The op and its number."""
    return OpVersion(op=chosen.op.name, version=None if chosen.version is None else str(chosen.version.number))


@dataclass(frozen=True, slots=True)
class Selection:
    """The versions that are valid for all downstreams, newest first, and the newer ones that are not."""

    found: list[VersionRow]
    skipped: list[SkippedVersion]
    verdict: VerdictWord


def select_valid(
    snapshot: Snapshot, reference: Reference, valid_for: Sequence[str], limit: int, below: int | None = None
) -> Selection:
    """At most `limit` versions that `latest` could pick, the reference admits and all of `valid_for` accept.

    Reads in blocks, and no further than it must. `below` is the sequence where an earlier answer ended.
    """
    op = ops.get(snapshot, reference.op)
    targets = [choose(snapshot, parse_reference(text)) for text in valid_for]
    found: list[VersionRow] = []
    skipped: list[SkippedVersion] = []
    for block in version_rows.blocks(snapshot, op.id, _candidates(snapshot, op, reference, below)):
        admitted = [row for row in block if references.admits(reference.selector, row)]
        reasons = _objections(snapshot, op, admitted, targets)
        for row in admitted:
            if row.id not in reasons:
                found.append(row)
            elif not found and below is None:
                skipped.append(SkippedVersion(op=op.name, version=str(row.number), reason=reasons[row.id].reason))
            if len(found) == limit:
                return Selection(found, skipped, "valid")
    word: VerdictWord = "valid" if found or below is not None else _why_nothing(snapshot, op, reference, targets)
    return Selection(found, skipped, word)


def _candidates(snapshot: Snapshot, op: OpRow, reference: Reference, below: int | None) -> Where:
    if isinstance(reference.selector, Latest | Range | Line):
        among = version_rows.candidates(snapshot, op.id, references.in_line(reference.selector))
    else:
        among = version_rows.with_id(references.resolve_reference(snapshot, op.id, reference).id)
    return among & references.in_bounds(reference.selector) & version_rows.older_than(below)


def _objections(snapshot: Snapshot, op: OpRow, rows: list[VersionRow], targets: Sequence[Chosen]) -> dict[int, Verdict]:
    """By the version's id, the verdict that keeps it out: a known failure before what is not known."""
    objections: dict[int, Verdict] = {}
    for target in targets if rows else ():
        for row, verdict in zip(rows, verdicts(snapshot, op, rows, target), strict=True):
            worse = row.id not in objections or objections[row.id].word == "unknown"
            if verdict.word != "valid" and worse:
                objections[row.id] = verdict
    return objections


def _why_nothing(snapshot: Snapshot, op: OpRow, reference: Reference, targets: Sequence[Chosen]) -> VerdictWord:
    """`unknown` if it is only links that are missing: some target has none at all, and the others agree on one.

    They agree where there is no version that could be asked about.
    """
    linked = [target for target in targets if link_queries.any_in_force(snapshot, op, target.op)]
    if len(linked) == len(targets):
        return "invalid"
    asked = False
    for block in version_rows.blocks(snapshot, op.id, _candidates(snapshot, op, reference, None)):
        admitted = [row for row in block if references.admits(reference.selector, row)]
        asked = asked or bool(admitted)
        if len(_objections(snapshot, op, admitted, linked)) < len(admitted):
            return "unknown"
    return "invalid" if asked else "unknown"
