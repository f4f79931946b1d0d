"""Decide whether an upstream version is valid for a downstream version, and say why (docs/rules.md)."""

from collections.abc import Iterable

import msgspec

from opstore_daemon.protocol.records import VERDICTS, Basis, Compat, VerdictWord
from opstore_daemon.protocol.versions import VersionNumber

Line = tuple[int, ...]  # the first parts of a version number, which all versions of the line share

_LINE_LENGTH = {"major": 1, "minor": 2, "exact": 3}


class LinkInForce(msgspec.Struct, frozen=True, gc=False):
    """The newest entry for one upstream version and one downstream version, or the downstream op (None)."""

    upstream: VersionNumber
    downstream: VersionNumber | None
    valid: bool
    position: int


class Verdict(msgspec.Struct, frozen=True, gc=False):
    """The rule that decided, as the basis of the verdict, and the reason in words."""

    basis: Basis
    reason: str

    @property
    def word(self) -> VerdictWord:
        """The verdict itself: valid, invalid or unknown."""
        return VERDICTS[self.basis]


def line(number: VersionNumber, compat: Compat) -> Line:
    """Return the parts that compatible versions share: `(1,)` at major, `(1, 4)` at minor, `(1, 4, 2)` at exact."""
    return number[: _LINE_LENGTH[compat]]


class EdgeLinks:
    """The links in force between two ops, indexed for the verdict of any two of their versions.

    Links that can't affect the requested verdicts may be missing. It needs all links of the upstream versions that are
    asked about; the newest valid link of each of their lines to each downstream version that is asked about, and to the
    downstream op; and the newest valid link between the two ops.
    """

    def __init__(self, upstream: str, downstream: str, compat: Compat, links: Iterable[LinkInForce] = ()) -> None:
        """`compat` is the compatibility level of the upstream op."""
        self.upstream, self.downstream, self.compat = upstream, downstream, compat
        self._entries: dict[tuple[VersionNumber, VersionNumber | None], LinkInForce] = {}
        self._newest_by_line: dict[tuple[Line, VersionNumber | None], LinkInForce] = {}
        self._lines_by_target: dict[VersionNumber | None, set[Line]] = {}
        self._newest_valid: LinkInForce | None = None
        self.add(links)

    def add(self, links: Iterable[LinkInForce]) -> None:
        """Add links; adding one again changes nothing."""
        for link in links:
            self._entries[link.upstream, link.downstream] = link
            if link.valid:
                self._newest_valid = _newer(self._newest_valid, link)
                key = line(link.upstream, self.compat), link.downstream
                self._newest_by_line[key] = _newer(self._newest_by_line.get(key), link)
                self._lines_by_target.setdefault(link.downstream, set()).add(key[0])

    def deciding_entry(self, upstream: VersionNumber, downstream: VersionNumber | None) -> LinkInForce | None:
        """Return the entry that decides by rule 1, or None."""
        exact = self._entries.get((upstream, downstream))
        return exact if exact is not None or downstream is None else self._entries.get((upstream, None))

    def compatible_link(self, upstream: VersionNumber, downstream: VersionNumber | None) -> LinkInForce | None:
        """Return the newest valid link that decides by rule 2, or None."""
        own_line = line(upstream, self.compat)
        exact = self._newest_by_line.get((own_line, downstream))
        if downstream is None:
            return exact
        for_op = self._newest_by_line.get((own_line, None))
        return exact if for_op is None else _newer(exact, for_op)

    def lines_for(self, downstream: VersionNumber | None) -> set[Line]:
        """Return the lines of the upstream versions that have a valid link to exactly that downstream version."""
        return self._lines_by_target.get(downstream, set())

    @property
    def has_valid_link(self) -> bool:
        """Whether any valid link is in force, so that a version that is not valid is invalid (rule 3)."""
        return self._newest_valid is not None

    def basis(self, upstream: VersionNumber, downstream: VersionNumber | None) -> Basis:
        """Return the basis of the verdict for these two versions: which rule decides."""
        return self._decide(upstream, downstream)[0]

    def word(self, upstream: VersionNumber, downstream: VersionNumber | None) -> VerdictWord:
        """Return the verdict for these two versions, without its basis and reason."""
        return VERDICTS[self.basis(upstream, downstream)]

    def is_valid(self, upstream: VersionNumber, downstream: VersionNumber | None) -> bool:
        """Return whether the verdict is valid (rules 1 and 2)."""
        return self.word(upstream, downstream) == "valid"

    def verdict(self, upstream: VersionNumber | None, downstream: VersionNumber | None) -> Verdict:
        """Return the verdict for these two versions; None: the op has no version."""
        if upstream is None:
            return Verdict("no-version", f"{self.upstream} has no version")
        basis, link = self._decide(upstream, downstream)
        name = f"{self.upstream} {upstream}"
        target = self.downstream if downstream is None else f"{self.downstream} {downstream}"
        if link is None:
            return Verdict(basis, f"no link says whether {name} is valid for {target}")
        match basis:
            case "link":
                reason = f"{name} is valid for {self._linked(link)}"
            case "known-invalid":
                reason = f"{name} is known not to be valid for {self._linked(link)}"
            case "compatible":
                validated = f"{link.upstream}, which is valid for {self._linked(link)}"
                reason = f"{name} is compatible ({self.compat}) with {validated}"
            case _:
                last = f"{link.upstream} for {self._linked(link)}"
                reason = f"{name} is not validated for {target}; last validated: {last}"
        return Verdict(basis, reason)

    def _decide(self, upstream: VersionNumber, downstream: VersionNumber | None) -> tuple[Basis, LinkInForce | None]:
        """Return the basis, and the link that it names: of an unvalidated version the newest valid one."""
        entry = self.deciding_entry(upstream, downstream)
        if entry is not None:
            return "link" if entry.valid else "known-invalid", entry
        link = self.compatible_link(upstream, downstream)
        if link is not None:
            return "compatible", link
        return "no-links" if self._newest_valid is None else "not-validated", self._newest_valid

    def _linked(self, link: LinkInForce) -> str:
        return (
            f"any version of {self.downstream}" if link.downstream is None else f"{self.downstream} {link.downstream}"
        )


def _newer(one: LinkInForce | None, other: LinkInForce) -> LinkInForce:
    return other if one is None or other.position > one.position else one
