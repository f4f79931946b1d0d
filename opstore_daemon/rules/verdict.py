"""Whether an upstream version is valid for a downstream one, with the reason in words (CONTRACT section 4)."""

from collections.abc import Iterable
from dataclasses import dataclass

from opstore_daemon.protocol.records import Compat, VerdictWord
from opstore_daemon.protocol.versions import VersionNumber

_SHARED = {"major": 1, "minor": 2, "exact": 3}


@dataclass(frozen=True, slots=True)
class LinkInForce:
    """The newest entry for one upstream version and one downstream version, or the downstream op (None)."""

    upstream: VersionNumber
    downstream: VersionNumber | None
    valid: bool
    position: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """valid, invalid or unknown, and why: in words, and whether an entry for the very version says so (rule 1)."""

    word: VerdictWord
    reason: str
    by_entry: bool = False


def line(number: VersionNumber, compat: Compat) -> tuple[int, ...]:
    """What compatible versions share: `(1,)` at major, `(1, 4)` at minor, `(1, 4, 2)` at exact."""
    return number[: _SHARED[compat]]


def is_compatible(one: VersionNumber, other: VersionNumber, compat: Compat) -> bool:
    """Whether two versions of an op share the number down to its compatibility level."""
    return line(one, compat) == line(other, compat)


class EdgeLinks:
    """The links in force between two ops, ready for the verdict of any two of their versions.

    Of those links, the ones that can't matter for the versions that are asked about may be left out. What may not be:
    the entries for these upstream versions; for each downstream version (or none) and each line of theirs one valid
    link, if there is one; and the newest valid link of all.
    """

    def __init__(self, upstream: str, downstream: str, compat: Compat, links: Iterable[LinkInForce] = ()) -> None:
        self.upstream, self.downstream, self.compat = upstream, downstream, compat
        self._entries: dict[tuple[VersionNumber, VersionNumber | None], LinkInForce] = {}
        self._lines: dict[tuple[tuple[int, ...], VersionNumber | None], LinkInForce] = {}
        self._by_target: dict[VersionNumber | None, set[tuple[int, ...]]] = {}
        self._newest: LinkInForce | None = None
        self.add(links)

    def add(self, links: Iterable[LinkInForce]) -> None:
        """More of them; the same one again changes nothing."""
        for link in links:
            self._entries[link.upstream, link.downstream] = link
            if link.valid:
                self._newest = _newer(self._newest, link)
                place = line(link.upstream, self.compat), link.downstream
                self._lines[place] = _newer(self._lines.get(place), link)
                self._by_target.setdefault(link.downstream, set()).add(place[0])

    def deciding_entry(self, upstream: VersionNumber, downstream: VersionNumber | None) -> LinkInForce | None:
        """The entry that rule 1 goes by, or None."""
        exact = self._entries.get((upstream, downstream))
        return exact if exact is not None or downstream is None else self._entries.get((upstream, None))

    def compatible_link(self, upstream: VersionNumber, downstream: VersionNumber | None) -> LinkInForce | None:
        """The newest valid link that rule 2 goes by, or None."""
        own = line(upstream, self.compat)
        found = self._lines.get((own, downstream))
        if downstream is None:
            return found
        other = self._lines.get((own, None))
        return found if other is None else _newer(found, other)

    def lines_for(self, downstream: VersionNumber | None) -> set[tuple[int, ...]]:
        """The lines of the upstream versions that a valid link is for, for exactly that downstream version."""
        return self._by_target.get(downstream, set())

    def all_lines(self) -> set[tuple[int, ...]]:
        """The lines of all upstream versions that a valid link is for."""
        return {place[0] for place in self._lines}

    @property
    def is_known(self) -> bool:
        """Whether any valid link is in force, so that what is not valid is invalid."""
        return self._newest is not None

    def is_valid(self, upstream: VersionNumber, downstream: VersionNumber | None) -> bool:
        """Whether the verdict is valid, by rules 1 and 2 alone."""
        entry = self.deciding_entry(upstream, downstream)
        return entry.valid if entry is not None else self.compatible_link(upstream, downstream) is not None

    def word(self, upstream: VersionNumber, downstream: VersionNumber | None) -> VerdictWord:
        """The verdict for these two versions, without its reason."""
        if self.is_valid(upstream, downstream):
            return "valid"
        return "invalid" if self.is_known or self.deciding_entry(upstream, downstream) is not None else "unknown"

    def verdict(self, upstream: VersionNumber | None, downstream: VersionNumber | None) -> Verdict:
        """The verdict for these two versions; either may be none, where its op has none."""
        if upstream is None:
            return Verdict("unknown", f"{self.upstream} has no version")
        name, target = f"{self.upstream} {upstream}", self._target(downstream)
        entry = self.deciding_entry(upstream, downstream)
        if entry is not None:
            word: VerdictWord = "valid" if entry.valid else "invalid"
            said = "is valid for" if entry.valid else "is known not to be valid for"
            return Verdict(word, f"{name} {said} {self._target(entry.downstream)}", by_entry=True)
        link = self.compatible_link(upstream, downstream)
        if link is not None:
            validated = f"{link.upstream}, which is valid for {self._target(link.downstream)}"
            return Verdict("valid", f"{name} is compatible ({self.compat}) with {validated}")
        if self._newest is not None:
            last = f"{self._newest.upstream} for {self._target(self._newest.downstream)}"
            return Verdict("invalid", f"{name} is not validated for {target}; last validated: {last}")
        return Verdict("unknown", f"no link says whether {name} is valid for {target}")

    def _target(self, downstream: VersionNumber | None) -> str:
        return self.downstream if downstream is None else f"{self.downstream} {downstream}"


def _newer(one: LinkInForce | None, other: LinkInForce) -> LinkInForce:
    return other if one is None or other.position > one.position else one


def combine(words: Iterable[VerdictWord]) -> VerdictWord:
    """The verdict over several edges: a failure that is known beats what is not known."""
    found = set(words)
    if "invalid" in found:
        return "invalid"
    return "unknown" if "unknown" in found else "valid"
