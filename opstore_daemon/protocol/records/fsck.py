"""What a check of the store found, in pages and as a whole."""

from collections.abc import Iterable
from typing import Literal

from opstore_daemon.protocol.records.base import Count, Cursor, Record, Sentence, Size
from opstore_daemon.protocol.records.presentation import Rows
from opstore_daemon.protocol.records.short_text import counted, short_text
from opstore_daemon.protocol.records.verdicts import OpVersion

# In the order in which they are checked.
FsckCheck = Literal["database", "journal", "versions", "blobs", "storage"]
FindingKind = Literal[
    "database",  # SQLite finds the file inconsistent, or can't read it
    "reference",  # a row refers to one that does not exist
    "journal",  # a position is missing, or there twice
    "sequence",  # a sequence of an op is missing
    "number",  # a version number does not belong to its hashes
    "row",  # rows contradict each other in another way
    "missing",  # a version's blob is gone
    "obstructed",  # something else is in the place of a blob
    "size",  # a blob has another size
    "damaged",  # a blob has other bytes
    "unreadable",  # a blob, or a part of the storage, can't be read
    "healed",  # a blob is marked as damaged, but intact
    "identity",  # the storage is not that of this database
    "permissions",  # other users can reach the storage
    "foreign",  # a file or folder that is not the store's
    "leftover",  # of an interrupted operation
]


class Finding(Record, frozen=True, kw_only=True):
    """Something in the store that is not as it should be.

    `what` is the blob, file or row that it is about, `observed` what was found there, `advice` the command that helps.
    `versions` are the versions with the blob, or the first of them: `versions_count` says how many there are. `marked`:
    the blob is marked as damaged, so that nobody pulls it.
    """

    kind: FindingKind
    what: Sentence
    observed: Sentence
    advice: Sentence
    versions: tuple[OpVersion, ...] = ()
    versions_count: Count = 0
    marked: bool = False

    def _summary(self) -> str:
        """Return what it is about, and what was observed."""
        return f"{self.kind}, {short_text(self.what)}: {self.observed}"


class FsckPage(Record, frozen=True, kw_only=True):
    """A part of a check of the store. Without a `next_cursor` the check is complete.

    `blobs` were looked at, and `bytes_read` read of them. No version refers to `garbage` blobs of `garbage_size` bytes:
    that is no fault. `blobs_total` and `bytes_total` say what the whole check will look at and read; only the first
    page has them, None if they can't be counted.
    """

    check: FsckCheck
    findings: tuple[Finding, ...]
    blobs: Count = 0
    bytes_read: Size = 0
    garbage: Count = 0
    garbage_size: Size = 0
    blobs_total: Count | None = None
    bytes_total: Size | None = None
    next_cursor: Cursor | None = None

    def _summary(self) -> str:
        """Return which check it is a part of, and how many findings it has."""
        return f"{self.check}, {counted(len(self.findings), 'findings')}"


MAX_FINDINGS = 10_000  # that a report lists
_COUNTS = ("blobs", "bytes_read", "garbage", "garbage_size")


class FsckReport(Rows, Record, frozen=True, kw_only=True):
    """What a check of the store found. It is a sequence of the `Finding`s, and true if the store is clean.

    If there are very many findings, it has the first of them, and `more` counts the others.
    """

    ROWS = "findings"
    SIZES = frozenset({"bytes_read", "garbage_size"})

    clean: bool
    findings: tuple[Finding, ...]
    more: Count = 0
    blobs: Count = 0
    bytes_read: Size = 0
    garbage: Count = 0
    garbage_size: Size = 0

    @classmethod
    def of(cls, pages: Iterable[FsckPage]) -> "FsckReport":
        """Return the report of all pages of a check, which are read one after another."""
        findings: list[Finding] = []
        more = 0
        counts = dict.fromkeys(_COUNTS, 0)
        for page in pages:
            room = MAX_FINDINGS - len(findings)
            findings += page.findings[:room]
            more += len(page.findings[room:])
            for name in _COUNTS:
                counts[name] += getattr(page, name)
        return cls(clean=not findings, findings=tuple(findings), more=more, **counts)

    def _summary(self) -> str:
        """Return whether the store is clean, and how many findings there are."""
        if self.clean:
            return f"clean, {counted(self.blobs, 'blobs')}"
        return f"not clean, {counted(len(self.findings) + self.more, 'findings')}"

    def __bool__(self) -> bool:
        """Return whether the store is clean, so that `if client.fsck()` is a gate."""
        return self.clean
