"""Decide which version numbers a range admits, as `packaging` (PEP 440) does."""

from collections.abc import Sequence
from functools import lru_cache

from packaging.specifiers import SpecifierSet
from packaging.version import Version

from opstore_daemon.protocol.versions import HIGHEST, VersionNumber


def admits(specifiers: str, number: VersionNumber) -> bool:
    """Return whether the specifier set admits the number."""
    return _specifier_set(specifiers).contains(Version(str(number)))


def bounds(specifiers: str) -> tuple[VersionNumber, VersionNumber]:
    """Return the lowest and the highest number that can be admitted, for an indexed query.

    The bounds are inclusive and not exact: `admits` may still refuse numbers within them.
    """
    lowest, highest = VersionNumber(1, 0, 0), VersionNumber(HIGHEST, HIGHEST, HIGHEST)
    for clause in _specifier_set(specifiers):
        parts = [min(int(part), HIGHEST) for part in clause.version.removesuffix(".*").split(".")]
        first = _fill(parts, 0)
        if clause.operator in (">=", ">", "~=", "=="):
            lowest = max(lowest, first)
        if clause.operator in ("<=", "<"):
            highest = min(highest, first)
        elif clause.operator == "==":
            highest = min(highest, _fill(parts, HIGHEST) if clause.version.endswith(".*") else first)
        elif clause.operator == "~=":
            highest = min(highest, _fill(parts[:-1], HIGHEST))
    return lowest, highest


@lru_cache(maxsize=100)
def _specifier_set(specifiers: str) -> SpecifierSet:
    return SpecifierSet(specifiers)  # to parse one takes 20 times as long as to look at a number


def _fill(parts: Sequence[int], filler: int) -> VersionNumber:
    major, minor, patch = [*parts, filler, filler][:3]
    return VersionNumber(major, minor, patch)
