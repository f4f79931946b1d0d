"""The output of `backup`, `restore` and `migrate` of the daemon's program: one line of JSON for each of these records.

Text that may not be UTF-8 (a path) has its stray bytes as escapes.
"""

import msgspec


class Line(msgspec.Struct, frozen=True, kw_only=True, tag_field="line", tag=str.lower):
    """One line of output."""


class Moved(Line, frozen=True, kw_only=True):
    """The progress of a step, such as `copying 340 blobs`: `done` of `total` bytes, or of another unit."""

    step: str
    done: int
    total: int
    unit: str = "bytes"


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


class Migration(Line, frozen=True, kw_only=True):
    """A store that is moved. Databases and savers are URLs without passwords; sizes are bytes.

    `versions` and `blobs` are those of a backup. `serve` is the command that uses the store in its new place, `go_back`
    the one that uses it in its old place.
    """

    store_id: str
    position: int
    schema: str
    from_db: str
    from_saver: str
    db: str
    saver: str
    ops: int
    versions: int
    stored: int
    blobs: int
    blobs_size: int
    serve: str
    go_back: str


class Planned(Migration, frozen=True, kw_only=True):
    """A migration that could be made: what it would copy, and whether it would resume one that was interrupted."""

    dry_run: bool
    resumes: bool
    to_copy: int
    to_copy_size: int
    rows: int


class Migrated(Migration, frozen=True, kw_only=True):
    """A migration that was made and verified: what was copied, what was there already, and the blobs that were read.

    `rows` are those of all tables, which are equal on both sides; 0 if the database is the same one. `uploads` are
    unfinished uploads, which were not moved.
    """

    copied: int
    copied_size: int
    present: int
    present_size: int
    read_back: int
    rows: int
    uploads: int
    missing: tuple[Problem, ...]


class Failed(Line, frozen=True, kw_only=True):
    """The error that ended the work; its result, if there is one, comes before it."""

    code: str
    status: int
    text: str
    hint: str
    details: dict[str, object]


Result = BackedUp | Checked | Restored | Planned | Migrated
Lines = Moved | Problem | Result | Failed
