"""Assign version numbers: within an op, equal hashes have equal numbers (docs/rules.md)."""

from dataclasses import dataclass

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.records import Level
from opstore_daemon.protocol.versions import HIGHEST, VersionNumber


@dataclass(frozen=True, slots=True)
class AssignedNumbers:
    """The numbers assigned so far at one level of an op.

    `known` is the number of the hash in question, `highest` the highest number; None if there is none. At the minor
    level they count only within the version's major, at the patch level only within its major and minor. Removed
    versions count, so that no number is reused.
    """

    known: int | None = None
    highest: int | None = None

    def assign(self, op: str, level: Level) -> int:
        """Return the number of the hash, or the next free one: majors start at 1, minors and patches at 0."""
        if self.known is not None:
            return self.known
        first = 1 if level == "major" else 0
        number = first if self.highest is None else self.highest + 1
        if number > HIGHEST:
            raise errors.NumbersExhausted(op=op, level=level)
        return number


def assign_number(op: str, major: AssignedNumbers, minor: AssignedNumbers, patch: AssignedNumbers) -> VersionNumber:
    """Return the number of a version of the op; raise NumbersExhausted if a level has none left."""
    return VersionNumber(major.assign(op, "major"), minor.assign(op, "minor"), patch.assign(op, "patch"))
