"""Verdicts: the rules asked about what the database has."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection

from opstore_daemon.metadata.tables import Version
from opstore_daemon.protocol.records import EdgeVerdict, OpNumber, PassedOver, Validation, VerdictWord
from opstore_daemon.protocol.references import Latest, Line, Range, Reference, parse_reference
from opstore_daemon.rules.verdict import Between, Verdict, combine
from opstore_daemon.store import links, lookup, ops
from opstore_daemon.store.lookup import VersionRow
from opstore_daemon.store.ops import OpRow


@dataclass(frozen=True, slots=True)
class Downstream:
    """What has to accept an upstream version: an op, and its version if it has one."""

    op: OpRow
    version: VersionRow | None


def downstream(connection: Connection, reference: Reference) -> Downstream:
    """The downstream that a reference names; a bare name is its latest, or none where it has no version."""
    op = ops.get(connection, reference.op)
    version = lookup.latest(connection, op.id) if reference.bare else lookup.pick(connection, op.id, reference)
    return Downstream(op, version)


def verdicts(connection: Connection, upstream: OpRow, candidates: list[VersionRow], to: Downstream) -> list[Verdict]:
    """The verdict of each candidate, in their order."""
    found = links.that_matter(connection, upstream, candidates, to.op, to.version)
    between = Between(upstream.name, to.op.name, upstream.compat, found)
    number = None if to.version is None else to.version.number
    return [between.verdict(row.number, number) for row in candidates]


def edge(connection: Connection, upstream: Downstream, to: Downstream) -> EdgeVerdict:
    """The verdict between two versions, either of which may be none."""
    if upstream.version is None:
        verdict = Between(upstream.op.name, to.op.name, upstream.op.compat).verdict(None, None)
    else:
        (verdict,) = verdicts(connection, upstream.op, [upstream.version], to)
    return EdgeVerdict(
        upstream=_op_number(upstream), downstream=_op_number(to), verdict=verdict.word, reason=verdict.reason
    )


def validate(
    connection: Connection,
    edges: Sequence[tuple[str, str]],
    chosen: Mapping[str, Downstream],
    pipeline: str | None = None,
) -> Validation:
    """The verdict over all edges between the versions that were chosen for the ops."""
    told = tuple(edge(connection, chosen[up], chosen[down]) for up, down in edges)
    return Validation(
        verdict=combine(verdict.verdict for verdict in told),
        edges=told,
        versions=tuple(_op_number(version) for version in chosen.values()),
        pipeline=pipeline,
    )


def _op_number(version: Downstream) -> OpNumber:
    number = None if version.version is None else str(version.version.number)
    return OpNumber(op=version.op.name, number=number)


@dataclass(frozen=True, slots=True)
class Selection:
    """The versions that are valid for all downstreams, newest first, and the newer ones that are not."""

    found: list[VersionRow]
    passed_over: list[PassedOver]
    verdict: VerdictWord


def select_valid(
    connection: Connection, reference: Reference, valid_for: Sequence[str], limit: int, below: int | None = None
) -> Selection:
    """At most `limit` versions that `latest` could pick, the reference admits and all of `valid_for` accept.

    Reads in blocks, and no further than it must. `below` is the sequence where an earlier answer ended.
    """
    op = ops.get(connection, reference.op)
    targets = [downstream(connection, parse_reference(text)) for text in valid_for]
    found: list[VersionRow] = []
    passed_over: list[PassedOver] = []
    for block in lookup.blocks(connection, *_candidates(connection, op, reference, below)):
        admitted = [row for row in block if _admitted(reference, row)]
        reasons = _objections(connection, op, admitted, targets)
        for row in admitted:
            if row.id not in reasons:
                found.append(row)
            elif not found and below is None:
                passed_over.append(PassedOver(op=op.name, number=str(row.number), reason=reasons[row.id].reason))
            if len(found) == limit:
                return Selection(found, passed_over, "valid")
    word: VerdictWord = "valid" if found or below is not None else _why_nothing(connection, op, reference, targets)
    return Selection(found, passed_over, word)


def _candidates(
    connection: Connection, op: OpRow, reference: Reference, below: int | None
) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = [Version.op_id == op.id, *lookup.numbered(reference.selector)]
    if not isinstance(reference.selector, Latest | Range | Line):
        conditions.append(Version.id == lookup.pick(connection, op.id, reference).id)
    conditions.append(lookup.preferred(connection, op.id, *conditions[1:]))
    if below is not None:
        conditions.append(Version.sequence < below)
    return conditions


def _admitted(reference: Reference, row: VersionRow) -> bool:
    return not isinstance(reference.selector, Range) or lookup.admits(reference.selector, row.number)


def _objections(
    connection: Connection, op: OpRow, rows: list[VersionRow], targets: Sequence[Downstream]
) -> dict[int, Verdict]:
    """By the version's id, the verdict that keeps it out: a known failure before what is not known."""
    objections: dict[int, Verdict] = {}
    for target in targets if rows else ():
        for row, verdict in zip(rows, verdicts(connection, op, rows, target), strict=True):
            worse = row.id not in objections or objections[row.id].word == "unknown"
            if verdict.word != "valid" and worse:
                objections[row.id] = verdict
    return objections


def _why_nothing(connection: Connection, op: OpRow, reference: Reference, targets: Sequence[Downstream]) -> VerdictWord:
    """`unknown` if it is only links that are missing: some target has none at all, and the others agree on one.

    They agree where there is no version that could be asked about.
    """
    linked = [target for target in targets if links.any_in_force(connection, op, target.op)]
    if len(linked) == len(targets):
        return "invalid"
    asked = False
    for block in lookup.blocks(connection, *_candidates(connection, op, reference, None)):
        admitted = [row for row in block if _admitted(reference, row)]
        asked = asked or bool(admitted)
        if len(_objections(connection, op, admitted, linked)) < len(admitted):
            return "unknown"
    return "invalid" if asked else "unknown"
