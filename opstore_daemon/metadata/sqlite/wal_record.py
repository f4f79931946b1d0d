"""What the lock file of a database records about its WAL, so that a WAL that gets lost is noticed.

SQLite keeps commits in the file `-wal` and copies them into the database later. The last connection that closes copies
all and deletes the WAL, and it need not be ours: after `kill -9` any program that reads the database may do it. So a
missing WAL alone means nothing. But whoever copies commits writes to the database file and thereby changes its time of
modification: commits are lost only if the WAL is gone *and* the database file is still the one of the record.
"""

import os
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class WalRecord:
    """The state after a commit. `pending`: the WAL may have commits that the database file does not have.

    `mtime` (in nanoseconds) and `size` are those of the database file, `wal` is the size of the WAL, in bytes. The
    database file alone has all commits up to `position` in the journal.
    """

    pending: bool = False
    mtime: int = 0
    size: int = 0
    wal: int = 0
    position: int = 0

    @classmethod
    def parse(cls, found: object) -> "WalRecord":
        """Return the record that the JSON value describes; one without pending commits if it describes none."""
        try:
            record = cls(**found)  # type: ignore[arg-type]
        except TypeError:
            return cls()
        whole = isinstance(record.pending, bool) and all(
            type(number) is int for number in (record.mtime, record.size, record.wal, record.position)
        )
        return record if whole else cls()

    def to_dict(self) -> dict[str, Any]:
        """Return the record as a JSON value."""
        return asdict(self)

    def is_of(self, main: os.stat_result) -> bool:
        """Return whether the database file is unchanged since the record."""
        return (self.mtime, self.size) == (main.st_mtime_ns, main.st_size)

    def after_commit(self, main: os.stat_result, wal: int) -> "WalRecord":
        """Return the record of the state after a commit."""
        # A checkpoint that came with the commit may have copied everything, which only SQLite knows. Then a reader
        # that closes later may delete the WAL without writing to the database file.
        return WalRecord(self.is_of(main), main.st_mtime_ns, main.st_size, wal, self.position)

    def after_checkpoint(self, main: os.stat_result, wal: int, position: int | None) -> "WalRecord":
        """Return the record of the state after a checkpoint; `position`: see `WalRecord`, None if it was incomplete."""
        at = self.position if position is None else position
        return WalRecord(position is None, main.st_mtime_ns, main.st_size, wal, at)


def what_is_missing(record: WalRecord, main: os.stat_result | None, wal: int | None) -> str | None:
    """Return in words what is missing of a database that no process has open, or None if nothing is.

    `main` is the state of its file, `wal` the size of its WAL; None: there is no such file.
    """
    state = "is missing" if main is None else "has 0 bytes"
    if main is None or main.st_size == 0:
        if wal:
            return f"it {state}, beside a WAL of {wal} bytes with its last commits"
        if record.pending:
            return f"it {state}, and had {record.size} bytes when its last daemon ended"
        return None
    if record.pending and record.is_of(main) and (wal or 0) < record.wal:
        found = "is missing" if wal is None else f"has {wal} bytes"
        return f"its last commits are missing: its WAL {found}, and had {record.wal} bytes when its last daemon ended"
    return None
