"""Which number a version gets: within an op a hash keeps its number (CONTRACT section 1)."""

from dataclasses import dataclass

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.records import Level
from opstore_daemon.protocol.versions import HIGHEST, VersionNumber


@dataclass(frozen=True, slots=True)
class AssignedNumbers:
    """What was given at one level so far: the number of this very hash, and the highest; None where there is none.

    At the minor level only within the version's major, at the patch level only within its major and minor.
    """

    known: int | None = None
    highest: int | None = None

    def number(self, op: str, level: Level) -> int:
        """The number that the hash has, else the next; majors count from 1, minors and patches from 0."""
        if self.known is not None:
            return self.known
        first = 1 if level == "major" else 0
        number = first if self.highest is None else self.highest + 1
        if number > HIGHEST:
            raise errors.NumbersExhausted(op=op, level=level)
        return number


def number(op: str, major: AssignedNumbers, minor: AssignedNumbers, patch: AssignedNumbers) -> VersionNumber:
    """The number of a version of the op; raises NumbersExhausted. Removed versions count: none is reused."""
    return VersionNumber(major.number(op, "major"), minor.number(op, "minor"), patch.number(op, "patch"))
