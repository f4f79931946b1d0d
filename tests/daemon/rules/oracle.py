"""A second implementation of the rules: slow, literal, and written from the sentences of the contract alone.

A history is the list of all events of a store, in commit order. Each function scans the whole history, as its
sentence of the contract says. Each docstring quotes that sentence.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal

Subversions = tuple[str, str, str]
NumberTuple = tuple[int, int, int]
Word = Literal["valid", "invalid", "unknown"]
State = Literal["valid", "invalid", "revoked"]
LevelName = Literal["major", "minor", "patch"]
CompatLevel = Literal["major", "minor", "exact"]


@dataclass(frozen=True)
class Registered:
    """A version of an op was registered; `stored`: with its bytes."""

    op: str
    version: Subversions
    stored: bool = False


@dataclass(frozen=True)
class Yanked:
    """A version was yanked, or a yank was undone (`back`)."""

    op: str
    version: Subversions
    back: bool = False


@dataclass(frozen=True)
class Removed:
    """A version was removed."""

    op: str
    version: Subversions


@dataclass(frozen=True)
class Linked:
    """A link was recorded or revoked; `downstream_version` None: for the downstream op."""

    upstream: str
    upstream_version: Subversions
    downstream: str
    downstream_version: Subversions | None
    state: State

    @property
    def key(self) -> tuple[str, Subversions, str, Subversions | None]:
        """The two ops and versions that the entry is for."""
        return self.upstream, self.upstream_version, self.downstream, self.downstream_version


@dataclass(frozen=True)
class LevelSet:
    """The compatibility level of an op was set."""

    op: str
    level: CompatLevel


Event = Registered | Yanked | Removed | Linked | LevelSet
History = Sequence[Event]


# --- section 1 --------------------------------------------------------------------------------------------------


def versions(history: History, op: str) -> list[Subversions]:
    """Sequence: "counts an op's registrations: 1, 2, 3 … without gaps. It alone orders versions".

    "version: three subversions; equal when all three are", so a second registration of one counts nothing.
    """
    found: list[Subversions] = []
    for event in history:
        if isinstance(event, Registered) and event.op == op and event.version not in found:
            found.append(event.version)
    return found


def number(history: History, op: str, version: Subversions) -> NumberTuple:
    """Number: "Within an op a hash keeps its number: the major number counts distinct major subversions from 1, the
    minor number distinct minors within that major from 0, the patch number distinct patches within that pair from 0.
    […] Never reused, also not after a removal."
    """
    majors: list[str] = []
    minors: list[str] = []
    patches: list[str] = []
    for major, minor, patch in versions(history, op):  # removed ones are counted: none is reused
        if major not in majors:
            majors.append(major)
        if major == version[0] and minor not in minors:
            minors.append(minor)
        if (major, minor) == version[:2] and patch not in patches:
            patches.append(patch)
    return 1 + majors.index(version[0]), minors.index(version[1]), patches.index(version[2])


def is_yanked(history: History, op: str, version: Subversions) -> bool:
    """Return whether the last yank of the version was not undone."""
    yanks = [e for e in history if isinstance(e, Yanked) and (e.op, e.version) == (op, version)]
    return bool(yanks) and not yanks[-1].back


def is_removed(history: History, op: str, version: Subversions) -> bool:
    """Return whether the version was ever removed."""
    return Removed(op, version) in history


def is_stored(history: History, op: str, version: Subversions) -> bool:
    """Stored: "a version […] whose bytes it also holds"."""
    return Registered(op, version, stored=True) in history and not is_removed(history, op, version)


def latest(history: History, op: str) -> Subversions | None:
    """Latest: "the newest by sequence that is neither yanked nor removed, among the stored versions if the op has
    any, else among the registered ones."
    """
    known = [v for v in versions(history, op) if not is_removed(history, op, v)]
    among = [v for v in known if is_stored(history, op, v)] or known
    candidates = [v for v in among if not is_yanked(history, op, v)]
    return candidates[-1] if candidates else None


# --- section 3 --------------------------------------------------------------------------------------------------


def sha256(text: str) -> str:
    """Return the SHA-256 of a text, in hex."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def bumped(base: Subversions | None, level: str, digest: str) -> Subversions:
    """ "The subversions above LEVEL are its own, that of LEVEL is the SHA-256 of its text, a newline and the bytes'
    digest, those below LEVEL are the SHA-256 of nothing", of the base, or "nothing where there is none".
    """
    own = base or (sha256(""), sha256(""), sha256(""))
    text = ".".join(base) if base else ""
    new = sha256(text + "\n" + digest)
    if level == "major":
        return new, sha256(""), sha256("")
    if level == "minor":
        return own[0], new, sha256("")
    return own[0], own[1], new


def quoted(text: str) -> str:
    """Return a JSON string (RFC 8259) in which only the quote, the backslash and control characters are escaped."""
    short = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
    return '"' + "".join(short.get(c, f"\\u{ord(c):04x}" if c < " " else c) for c in text) + '"'


def declared(fields: Mapping[LevelName, Mapping[str, str]], digest: str | None) -> Subversions:
    """ "The subversion of a level is the SHA-256 of the UTF-8 JSON object of its fields, keys sorted, no blanks,
    values as strings; a level without fields: of nothing, but patch: the bytes' digest."
    """

    def subversion(level: LevelName) -> str:
        own = fields.get(level, {})
        if own:
            return sha256("{" + ",".join(f"{quoted(key)}:{quoted(own[key])}" for key in sorted(own)) + "}")
        if level == "patch" and digest is not None:
            return digest.split(":")[1]
        return sha256("")

    return subversion("major"), subversion("minor"), subversion("patch")


# --- section 4 --------------------------------------------------------------------------------------------------


def level(history: History, op: str) -> CompatLevel:
    """ "Each op has a compatibility level: `exact` unless set"; "a change of level counts from its position on"."""
    levels = [event.level for event in history if isinstance(event, LevelSet) and event.op == op]
    return levels[-1] if levels else "exact"


def is_compatible(history: History, op: str, one: Subversions, other: Subversions) -> bool:
    """ "Versions of an op that share their number down to that level are compatible (`exact`: only itself)." """
    a, b = number(history, op, one), number(history, op, other)
    at = level(history, op)
    if at == "exact":
        return a == b
    if at == "minor":
        return a[0] == b[0] and a[1] == b[1]
    return a[0] == b[0]


def in_force(history: History, up: str, u: Subversions, down: str, d: Subversions | None) -> State | None:
    """ "Among entries for the same four (up, its version, down, its version or none) the newest is in force."
    "`unlink` revokes"; "removing a version revokes its links". "Yanking changes no verdict."
    """
    state: State | None = None
    for event in history:
        if isinstance(event, Linked) and event.key == (up, u, down, d):
            state = None if event.state == "revoked" else event.state
        if isinstance(event, Removed) and (event.op, event.version) in ((up, u), (down, d)):
            state = None
    return state


def verdict(history: History, up: str, u: Subversions, down: str, d: Subversions | None) -> Word:
    """Return the verdict for upstream version *u* and downstream version *d* (None: DOWN has no version)."""
    table: dict[str, Word] = {
        "link": "valid",
        "known-invalid": "invalid",
        "compatible": "valid",
        "not-validated": "invalid",
        "no-links": "unknown",
    }
    return table[basis(history, up, u, down, d)]


def basis(history: History, up: str, u: Subversions, down: str, d: Subversions | None) -> str:
    """Return the basis of the verdict: which row of the table decides."""
    ups, downs = versions(history, up), versions(history, down)

    # 1. "an entry in force for exactly *u* and exactly *d*, else for *u* and any version, says valid / invalid"
    for target in [d, None]:
        state = in_force(history, up, u, down, target)
        if state is not None:
            return "link" if state == "valid" else "known-invalid"

    # 2. "else a valid link in force from a version compatible with *u*, for exactly *d* or any version"
    for other, target in product(ups, [d, None]):
        if in_force(history, up, other, down, target) == "valid" and is_compatible(history, up, other, u):
            return "compatible"

    # 3. "else any valid link between the two ops is in force"
    for other, target in product(ups, [*downs, None]):
        if in_force(history, up, other, down, target) == "valid":
            return "not-validated"

    # 4. "else"
    return "no-links"


def over_all(words: Sequence[Word]) -> Word:
    """ "Over several edges: invalid if any is invalid, else unknown if any is unknown, else valid." """
    for word in words:
        if word == "invalid":
            return "invalid"
    for word in words:
        if word == "unknown":
            return "unknown"
    return "valid"


Edges = Sequence[tuple[str, str]]


def candidates(history: History, op: str) -> list[Subversions]:
    """ "Candidates of an op: what `latest` could pick." """
    known = [v for v in versions(history, op) if not is_removed(history, op, v)]
    among = [v for v in known if is_stored(history, op, v)] or known
    return [v for v in among if not is_yanked(history, op, v)]


def resolution_order(ops: Sequence[str], edges: Edges) -> list[str]:
    """ "Order the ops so that each comes after all its downstreams, ties by name." """
    found: list[str] = []
    while len(found) < len(ops):
        could_come = [op for op in ops if op not in found and all(d in found for u, d in edges if u == op)]
        found.append(min(could_come))
    return found


def sets(history: History, ops: Sequence[str], edges: Edges, good: Sequence[Word]) -> list[dict[str, Subversions]]:
    """Return all sets of one candidate for each op in which every edge has one of the `good` verdicts."""
    chosen = [dict(zip(ops, set_, strict=True)) for set_ in product(*[candidates(history, op) for op in ops])]
    return [set_ for set_ in chosen if all(verdict(history, u, set_[u], d, set_[d]) in good for u, d in edges)]


def resolution(history: History, ops: Sequence[str], edges: Edges) -> dict[str, Subversions] | Literal["no", "unknown"]:
    """ "Among the sets in which every edge is valid, the one whose sequences, read in that order, are lexicographically
    greatest. No such set: exit 1, or 3 if it is only links that are missing."
    """
    found = sets(history, ops, edges, ["valid"])
    if not found:
        return "unknown" if sets(history, ops, edges, ["valid", "unknown"]) else "no"
    order = resolution_order(ops, edges)
    return max(found, key=lambda set_: [versions(history, op).index(set_[op]) for op in order])


def affected(history: History, op: str, version: Subversions, edges: Edges) -> set[str]:
    """ "An op is affected by a version of an upstream op if the verdict for its latest version is not valid, or if one
    of its own upstream ops is affected."
    """
    direct = [down for up, down in edges if up == op]
    found = {down for down in direct if verdict(history, op, version, down, latest(history, down)) != "valid"}
    while True:
        further = {down for up, down in edges if up in found} - {op}
        if further <= found:
            return found
        found |= further
