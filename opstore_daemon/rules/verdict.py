"""Whether an upstream version is valid for a downstream one, with the reason in words (CONTRACT section 4)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from opstore_daemon.protocol.records import Compat, VerdictWord
from opstore_daemon.protocol.versions import Number

_SHARED = {"major": 1, "minor": 2, "exact": 3}


@dataclass(frozen=True, slots=True)
class LinkInForce:
    """The newest entry for one upstream version and one downstream version, or the downstream op (None)."""

    upstream: Number
    downstream: Number | None
    valid: bool
    position: int


@dataclass(frozen=True, slots=True)
class Edge:
    """The two ops, the versions asked about (None: the op has none), and the upstream's compatibility level."""

    upstream_op: str
    upstream: Number | None
    downstream_op: str
    downstream: Number | None
    compat: Compat


@dataclass(frozen=True, slots=True)
class Verdict:
    """valid, invalid or unknown, and why."""

    word: VerdictWord
    reason: str


def line(number: Number, compat: Compat) -> tuple[int, ...]:
    """What alike versions share: `(1,)` at major, `(1, 4)` at minor, `(1, 4, 2)` at exact."""
    return number[: _SHARED[compat]]


def alike(one: Number, other: Number, compat: Compat) -> bool:
    """Whether two versions of an op share the number down to its compatibility level."""
    return line(one, compat) == line(other, compat)


def verdict(edge: Edge, links: Iterable[LinkInForce]) -> Verdict:
    """The verdict by the links in force between the two ops; those that cannot matter may be left out."""
    if edge.upstream is None:
        return Verdict("unknown", f"{edge.upstream_op} has no version")
    links = sorted(links, key=lambda link: link.position, reverse=True)
    downstreams = (None,) if edge.downstream is None else (edge.downstream, None)
    for downstream in downstreams:
        for link in links:
            if link.upstream == edge.upstream and link.downstream == downstream:
                return _by_entry(edge, link)
    validated = [link for link in links if link.valid]
    for link in validated:
        if link.downstream in downstreams and alike(link.upstream, edge.upstream, edge.compat):
            return _by_likeness(edge, link)
    if validated:
        return _not_validated(edge, validated)
    return Verdict("unknown", f"no link says whether {_name(edge)} is valid for {_target(edge, edge.downstream)}")


def combine(words: Iterable[VerdictWord]) -> VerdictWord:
    """The verdict over several edges: a failure that is known beats what is not known."""
    found = set(words)
    if "invalid" in found:
        return "invalid"
    return "unknown" if "unknown" in found else "valid"


def _name(edge: Edge) -> str:
    return f"{edge.upstream_op} {edge.upstream}"


def _target(edge: Edge, downstream: Number | None) -> str:
    return edge.downstream_op if downstream is None else f"{edge.downstream_op} {downstream}"


def _by_entry(edge: Edge, link: LinkInForce) -> Verdict:
    target = _target(edge, link.downstream)
    if link.valid:
        return Verdict("valid", f"{_name(edge)} is valid for {target}")
    return Verdict("invalid", f"{_name(edge)} is known not to be valid for {target}")


def _by_likeness(edge: Edge, link: LinkInForce) -> Verdict:
    target = _target(edge, link.downstream)
    shared = ".".join(map(str, line(link.upstream, edge.compat)))
    return Verdict("valid", f"{_name(edge)} is alike ({shared}) to {link.upstream}, which is valid for {target}")


def _not_validated(edge: Edge, validated: Sequence[LinkInForce]) -> Verdict:
    newest = validated[0]
    what = f"{newest.upstream} for {_target(edge, newest.downstream)}"
    return Verdict(
        "invalid", f"{_name(edge)} is not validated for {_target(edge, edge.downstream)}; last validated: {what}"
    )
