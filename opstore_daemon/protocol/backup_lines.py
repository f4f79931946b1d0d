"""The output of `backup` and `restore` of the daemon's program: one line of JSON for each of these records.

Text that may not be UTF-8 (a path) has its stray bytes as escapes.
"""

import msgspec


class Line(msgspec.Struct, frozen=True, kw_only=True, tag_field="line", tag=str.lower):
    """One line of output."""


class Moved(Line, frozen=True, kw_only=True):
    """The progress of a step, such as `copying 340 blobs`: `done` of `total` bytes."""

    step: str
    done: int
    total: int


class Problem(Line, frozen=True, kw_only=True):
    """A blob that is damaged, missing or unreadable, and some of the versions that have these bytes (`OP@NUMBER`)."""

    digest: str
    problem: str
    versions: tuple[str, ...]
    versions_count: int

    def __str__(self) -> str:
        more = self.versions_count - len(self.versions)
        names = ", ".join(self.versions) + (f" and {more} more" if more else "")
        return f"{names or 'no version'}: {self.digest} {self.problem}"


class Backup(Line, frozen=True, kw_only=True):
    """What a backup has. `folder` is absolute; times are RFC 3339; sizes are bytes.

    `versions` are those that were not removed, `stored` those of them that have bytes, and `blobs` the distinct bytes.
    """

    folder: str
    store_id: str
    position: int
    schema: str
    release: str
    created_at: str
    ops: int
    versions: int
    stored: int
    blobs: int
    blobs_size: int
    database: str
    database_size: int


class BackedUp(Backup, frozen=True, kw_only=True):
    """A backup that was made: what was copied, and what the folder had already."""

    source: str
    copied: int
    copied_size: int
    present: int
    present_size: int
    pruned: int
    pruned_size: int
    missing: tuple[Problem, ...]


class Checked(Backup, frozen=True, kw_only=True):
    """A backup whose bytes were all read."""

    intact: bool
    problems: tuple[Problem, ...]


class Restored(Backup, frozen=True, kw_only=True):
    """A backup that was restored into a home. `clone_of` is the id of the store that the new one is a clone of."""

    home: str
    clone_of: str | None
    missing: tuple[Problem, ...]


class Failed(Line, frozen=True, kw_only=True):
    """The error that ended the work; its result, if there is one, comes before it."""

    code: str
    status: int
    text: str
    hint: str
    details: dict[str, object]


Result = BackedUp | Checked | Restored
Lines = Moved | Problem | Result | Failed
