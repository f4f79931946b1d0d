"""The calls of a run at which there can be a fault."""

from dataclasses import dataclass

# Calls that change something; an open only if it is for writing.
CHANGES = frozenset(
    (
        *("openat", "open", "creat", "mkdir", "mkdirat", "rmdir", "unlink", "unlinkat", "link", "linkat", "rename"),
        *("renameat", "renameat2", "replace", "write", "pwrite", "pwrite64", "writev", "pwritev", "ftruncate"),
        *("fallocate", "posix_fallocate", "fsync", "fdatasync", "fchmod", "fchmodat", "chmod", "utimensat", "utime"),
        *("splice", "copy_file_range", "sendfile"),
    )
)
# Calls that look.
LOOKS = frozenset(
    (
        *("read", "pread64", "preadv", "getdents64", "newfstatat", "fstatat64", "stat", "lstat", "fstat", "statx"),
        *("statfs", "fstatfs"),
    )
)
STATEMENT = "statement"  # of SQLite
KILL = "KILL"
ERRORS = ("ENOSPC", "EIO", "EMFILE", "EROFS")


@dataclass(frozen=True)
class Point:
    """The `number`-th call of that name of a run; `file` is for people. `changes`: it changes something."""

    call: str
    number: int
    file: str = ""
    changes: bool = True

    @property
    def is_of_store(self) -> bool:
        """Return whether the file belongs to the store, and not to its client."""
        return not self.file.startswith(("large", "folder", "cache"))

    @property
    def errors(self) -> tuple[str, ...]:
        """Return the errors that it can fail with."""
        return () if self.call == STATEMENT else ERRORS if self.changes else ("EIO",)

    def __str__(self) -> str:
        return f"{self.call} {self.number} {self.file}".rstrip()


@dataclass(frozen=True)
class Fault:
    """A kill before the call of the point, or the error that it fails with."""

    point: Point
    what: str

    def __str__(self) -> str:
        return f"{self.what} at {self.point}"
