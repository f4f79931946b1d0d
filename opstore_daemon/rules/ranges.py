"""Which numbers a range of versions admits, as `packaging` (PEP 440) says."""

from collections.abc import Sequence

from packaging.specifiers import SpecifierSet
from packaging.version import Version

from opstore_daemon.protocol.versions import HIGHEST, VersionNumber


def admits(specifiers: str, number: VersionNumber) -> bool:
    """Whether the specifier set admits the number."""
    return SpecifierSet(specifiers).contains(Version(str(number)))


def bounds(specifiers: str) -> tuple[VersionNumber, VersionNumber]:
    """The lowest and the highest number that it could admit; of those between it may still refuse some."""
    lowest, highest = VersionNumber(1, 0, 0), VersionNumber(HIGHEST, HIGHEST, HIGHEST)
    for clause in SpecifierSet(specifiers):
        parts = [min(int(part), HIGHEST) for part in clause.version.removesuffix(".*").split(".")]
        first = _filled(parts, 0)
        if clause.operator in (">=", ">", "~=", "=="):
            lowest = max(lowest, first)
        if clause.operator in ("<=", "<"):
            highest = min(highest, first)
        elif clause.operator == "==":
            highest = min(highest, _filled(parts, HIGHEST) if clause.version.endswith(".*") else first)
        elif clause.operator == "~=":
            highest = min(highest, _filled(parts[:-1], HIGHEST))
    return lowest, highest


def _filled(parts: Sequence[int], rest: int) -> VersionNumber:
    major, minor, patch = [*parts, rest, rest][:3]
    return VersionNumber(major, minor, patch)
