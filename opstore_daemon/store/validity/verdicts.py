"""Verdicts: the rules asked about what a view has."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from opstore_daemon.protocol.records import EdgeVerdict, OpVersion, SkippedVersion, Validation, VerdictWord
from opstore_daemon.protocol.references import Latest, Line, Range, Reference, parse_reference
from opstore_daemon.rules.verdict import Between, Verdict, combine
from opstore_daemon.store.catalog import links, ops, version_rows
from opstore_daemon.store.catalog.ops import OpRow
from opstore_daemon.store.catalog.version_rows import VersionRow, Where
from opstore_daemon.store.snapshot import View


@dataclass(frozen=True, slots=True)
class Chosen:
    """An op, and its version if it has one."""

    op: OpRow
    version: VersionRow | None


def choose(view: View, reference: Reference) -> Chosen:
    """What a reference names; a bare name is its latest, or none where it has no version."""
    op = ops.get(view, reference.op)
    version = version_rows.latest(view, op.id) if reference.bare else version_rows.pick(view, op.id, reference)
    return Chosen(op, version)


def verdicts(view: View, upstream: OpRow, candidates: Sequence[VersionRow], to: Chosen) -> list[Verdict]:
    """The verdict of each candidate, in their order."""
    found = links.that_matter(view, upstream, candidates, to.op, to.version)
    between = Between(upstream.name, to.op.name, upstream.compat, found)
    number = None if to.version is None else to.version.number
    return [between.verdict(row.number, number) for row in candidates]


def edge(view: View, upstream: Chosen, to: Chosen) -> EdgeVerdict:
    """The verdict between two versions, either of which may be none."""
    if upstream.version is None:
        verdict = Between(upstream.op.name, to.op.name, upstream.op.compat).verdict(None, None)
    else:
        (verdict,) = verdicts(view, upstream.op, [upstream.version], to)
    return EdgeVerdict(
        upstream=op_number(upstream),
        downstream=op_number(to),
        verdict=verdict.word,
        reason=verdict.reason,
        by_entry=verdict.by_entry,
    )


def validate(
    view: View,
    edges: Sequence[tuple[str, str]],
    chosen: Mapping[str, Chosen],
    position: int,
    pipeline: str | None = None,
) -> Validation:
    """The verdict over all edges between the versions that were chosen for the ops; it depends on no later entry."""
    told = tuple(edge(view, chosen[up], chosen[down]) for up, down in edges)
    return Validation(
        verdict=combine(verdict.verdict for verdict in told),
        edges=told,
        versions=tuple(op_number(version) for version in chosen.values()),
        pipeline=pipeline,
        picked_yanked=tuple(view.picked_yanked),
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
    view: View, reference: Reference, valid_for: Sequence[str], limit: int, below: int | None = None
) -> Selection:
    """At most `limit` versions that `latest` could pick, the reference admits and all of `valid_for` accept.

    Reads in blocks, and no further than it must. `below` is the sequence where an earlier answer ended.
    """
    op = ops.get(view, reference.op)
    targets = [choose(view, parse_reference(text)) for text in valid_for]
    found: list[VersionRow] = []
    skipped: list[SkippedVersion] = []
    for block in version_rows.blocks(view, op.id, _candidates(view, op, reference, below)):
        admitted = [row for row in block if version_rows.admitted(reference.selector, row)]
        reasons = _objections(view, op, admitted, targets)
        for row in admitted:
            if row.id not in reasons:
                found.append(row)
            elif not found and below is None:
                skipped.append(SkippedVersion(op=op.name, version=str(row.number), reason=reasons[row.id].reason))
            if len(found) == limit:
                return Selection(found, skipped, "valid")
    word: VerdictWord = "valid" if found or below is not None else _why_nothing(view, op, reference, targets)
    return Selection(found, skipped, word)


def _candidates(view: View, op: OpRow, reference: Reference, below: int | None) -> Where:
    if isinstance(reference.selector, Latest | Range | Line):
        among = version_rows.candidates(view, op.id, version_rows.in_line(reference.selector))
    else:
        among = version_rows.of_id(version_rows.pick(view, op.id, reference).id)
    return among & version_rows.in_bounds(reference.selector) & version_rows.older_than(below)


def _objections(view: View, op: OpRow, rows: list[VersionRow], targets: Sequence[Chosen]) -> dict[int, Verdict]:
    """By the version's id, the verdict that keeps it out: a known failure before what is not known."""
    objections: dict[int, Verdict] = {}
    for target in targets if rows else ():
        for row, verdict in zip(rows, verdicts(view, op, rows, target), strict=True):
            worse = row.id not in objections or objections[row.id].word == "unknown"
            if verdict.word != "valid" and worse:
                objections[row.id] = verdict
    return objections


def _why_nothing(view: View, op: OpRow, reference: Reference, targets: Sequence[Chosen]) -> VerdictWord:
    """`unknown` if it is only links that are missing: some target has none at all, and the others agree on one.

    They agree where there is no version that could be asked about.
    """
    linked = [target for target in targets if links.any_in_force(view, op, target.op)]
    if len(linked) == len(targets):
        return "invalid"
    asked = False
    for block in version_rows.blocks(view, op.id, _candidates(view, op, reference, None)):
        admitted = [row for row in block if version_rows.admitted(reference.selector, row)]
        asked = asked or bool(admitted)
        if len(_objections(view, op, admitted, linked)) < len(admitted):
            return "unknown"
    return "invalid" if asked else "unknown"
