"""Small disks: a file system of a few MiB where the system lets us mount one, and a saver that counts its bytes."""

import os
import shutil
import stat
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from opstore_daemon.savers import FileSaver, folder_identity

MIB = 1024 * 1024


class CountedDisk:
    """Make every FileSaver in the folder report `capacity` minus the bytes of the files in the folder as free."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path, capacity: int) -> None:
        self.capacity, self.looks, self._folder = capacity, 0, folder

        def free(_saver: FileSaver) -> int:
            self.looks += 1
            return self.free

        monkeypatch.setattr(FileSaver, "free", free)

    @property
    def free(self) -> int:
        """Return how many bytes are free; a file with two names counts once, those of the identity do not."""
        found: dict[int, int] = {}
        for path in self._folder.rglob("*"):
            with suppress(FileNotFoundError):  # deleted by another thread since it was listed
                state = path.lstat()
                if stat.S_ISREG(state.st_mode) and path.name not in folder_identity.FILES:
                    found[state.st_ino] = state.st_size
        return self.capacity - sum(found.values())


@dataclass(frozen=True)
class MountedDisk:
    """A file system in a mount namespace of its own: `inner` is its path there, `outer` leads to it from here."""

    enter: Sequence[str]
    """The words before a command that run it in the namespace."""
    inner: Path
    outer: Path

    @property
    def free(self) -> int:
        """Return the number of free bytes."""
        found = os.statvfs(self.outer)
        return found.f_bavail * found.f_frsize

    def fill(self, leave: int = 0) -> None:
        """Add a file that leaves so many bytes free."""
        count = self.free - leave
        if count > 0:
            names = len(list(self.outer.glob("filler*")))
            with open(self.outer / f"filler{names}", "wb") as file:
                os.posix_fallocate(file.fileno(), 0, count)

    def take_inodes(self) -> None:
        """Add files until no more can be added."""
        with suppress(OSError):
            for number in range(10_000):
                (self.outer / f"filler-inode{number}").touch()

    def empty(self) -> None:
        """Remove what `fill` added."""
        for path in self.outer.glob("filler*"):
            path.unlink()


@contextmanager
def mounted(folder: Path, size: int, inodes: int = 0) -> Iterator[MountedDisk]:
    """Mount a file system of `size` bytes at the folder in a new namespace; skip the test where that is refused.

    `inodes`: how many files and folders it can have (0: any number).
    """
    if shutil.which("unshare") is None or shutil.which("nsenter") is None:
        pytest.skip("this system has no unshare or nsenter")
    script = f'mount -t tmpfs -o size={size},nr_inodes={inodes} tmpfs "$0" && echo mounted && exec cat'
    command = ["unshare", "-rm", "sh", "-c", script, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as holder:
        assert holder.stdout is not None
        assert holder.stdin is not None
        if holder.stdout.readline() != b"mounted\n":
            pytest.skip("no file system can be mounted here")
        outer = Path(f"/proc/{holder.pid}/root") / folder.relative_to("/")
        try:
            enter = ["nsenter", "-t", str(holder.pid), "-U", "-m", "--preserve-credentials", "--"]
            if subprocess.run([*enter, "true"], capture_output=True, check=False).returncode or not outer.is_dir():
                pytest.skip("the namespace of a mounted file system can't be entered here")
            yield MountedDisk(enter, folder, outer)
        finally:
            holder.stdin.close()
