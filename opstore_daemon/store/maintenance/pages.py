"""What the checks share: their options, where they stand, and the page that each of them makes."""

import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from sqlalchemy import Connection, Executable, func, select

from opstore_daemon.metadata import Database
from opstore_daemon.metadata.statements import prepared
from opstore_daemon.metadata.tables import Op, Version
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.limits import READ_SIZE
from opstore_daemon.protocol.records import Finding, OpVersion
from opstore_daemon.protocol.records.fsck import FindingKind
from opstore_daemon.protocol.subsets import Subset
from opstore_daemon.protocol.versions import VersionNumber
from opstore_daemon.savers import BaseSaver
from opstore_daemon.store.catalog.damage import DamageMarks
from opstore_daemon.store.places import POLL, IsCancelled, never

MAX_VERSIONS = 20  # that one finding lists
MAX_FINDINGS = 1000  # of one page, which then says that there are more

Steps = Generator[None, None, str | None]  # yields now and then; returns where the next page of the check begins


class FsckOptions(NamedTuple):
    """What to check: also the bytes of the blobs, or only of a subset, reading at most `rate` bytes in a second.

    `repair`: move damaged blobs out of the way, and mark damaged and missing ones.
    """

    read_data: bool = False
    subset: Subset | None = None
    rate: int | None = None
    repair: bool = False

    @property
    def reads(self) -> bool:
        """Whether any bytes are read."""
        return self.read_data or self.subset is not None

    def bounds(self) -> tuple[str, str]:
        """Return the beginnings of the first digest that is read, and of the first one after them."""
        if self.subset is not None:
            return self.subset.bounds
        return ("", "t") if self.read_data else ("", "")


class Problem(NamedTuple):
    """What is wrong with a blob; `state` is that of what was looked at, None if nothing was there."""

    kind: FindingKind
    observed: str
    state: str | None = None


class Pace:
    """Keeps reads below a number of bytes in a second, None: unlimited."""

    def __init__(
        self,
        rate: int | None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._rate, self._clock, self._sleep = rate, clock, sleep
        self._due = clock()  # when the bytes so far may have been read

    def waits(self, count: int) -> Iterator[None]:
        """Wait until that many more bytes may have been read; yield after each part of that."""
        if self._rate is None:
            return
        self._due = max(self._due, self._clock() - 1) + count / self._rate
        while (left := self._due - self._clock()) > 0:
            self._sleep(min(left, POLL))
            yield


@dataclass
class Page:
    """A page that is being made: where its check looks, and what it has found so far."""

    database: Database
    saver: BaseSaver
    damage: DamageMarks
    options: FsckOptions
    now: Callable[[], int]
    is_cancelled: IsCancelled = never
    findings: list[Finding] = field(default_factory=list)
    blobs: int = 0
    bytes_read: int = 0
    garbage: int = 0
    garbage_size: int = 0
    blobs_total: int | None = None
    bytes_total: int | None = None

    def __post_init__(self) -> None:
        self.pace = Pace(self.options.rate)
        self._dropped = 0

    def check_client(self) -> None:
        """Raise ConnectionLost if nobody waits for the page any more."""
        if self.is_cancelled():
            raise errors.ConnectionLost(url="the client", reason="it has gone")

    def count(self, count: int) -> Generator[None, None, None]:
        """Count bytes that were read, and wait until more may be read; yield after each MiB, and while it waits."""
        before, self.bytes_read = self.bytes_read, self.bytes_read + count
        if before // READ_SIZE < self.bytes_read // READ_SIZE:
            yield
            self.check_client()
        for _ in self.pace.waits(count):
            yield
            self.check_client()

    def add(self, kind: FindingKind, what: object, observed: str, advice: str) -> None:
        """Add a finding that is about no blob."""
        self.add_finding(Finding(kind=kind, what=str(what), observed=observed, advice=advice))

    def add_finding(self, finding: Finding) -> None:
        """Add a finding, unless the page has MAX_FINDINGS."""
        if len(self.findings) < MAX_FINDINGS:
            self.findings.append(finding)
        else:
            self._dropped += 1

    def finish(self) -> tuple[Finding, ...]:
        """Return the findings; the last one says how many are not listed."""
        if self._dropped:
            last = self.findings[-1]
            text = f"{last.observed} ({self._dropped} more like these are not listed)"
            self.findings[-1] = Finding(kind=last.kind, what=last.what, observed=text, advice=last.advice)
        return tuple(self.findings)


def versions_of(connection: Connection, digest: str) -> tuple[tuple[OpVersion, ...], int]:
    """Return the versions with the digest that are not removed, the newest first, and how many there are."""
    rows = _versions(MAX_VERSIONS, digest=digest).run(connection).all()
    count = _versions_count(digest=digest).run(connection).scalar_one()
    return tuple(OpVersion(op=row[0], version=str(VersionNumber(*row[1:]))) for row in rows), count


@prepared
def _versions(limit: int, *, digest: str) -> Executable:
    columns = (Op.name, Version.major_number, Version.minor_number, Version.patch_number)
    found = select(*columns).join(Op, Op.id == Version.op_id).where(Version.digest == digest)
    return found.where(Version.removed_position.is_(None)).order_by(Version.position.desc()).limit(limit)


@prepared
def _versions_count(*, digest: str) -> Executable:
    with_digest = select(func.count()).select_from(Version).where(Version.digest == digest)
    return with_digest.where(Version.removed_position.is_(None))
