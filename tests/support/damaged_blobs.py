"""Ways in which the file of a blob can be damaged."""

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

from opstore_daemon.protocol.digests import Digest


def path_of(root: Path, digest: str) -> Path:
    """Return the path of a blob in the folder of a FileSaver."""
    name = Digest.parse(digest).hex
    return root / "blobs" / name[:2] / name


def bit(path: Path, chance: random.Random) -> None:
    """Flip one bit, after the first byte."""
    data = bytearray(path.read_bytes())
    data[chance.randrange(1, len(data))] ^= 1 << chance.randrange(8)
    _write(path, bytes(data))


def short(path: Path, chance: random.Random) -> None:
    """Cut off its end."""
    data = path.read_bytes()
    _write(path, data[: chance.randrange(1, len(data))])


def long(path: Path, chance: random.Random) -> None:
    """Append something."""
    _write(path, path.read_bytes() + chance.randbytes(3))


def empty(path: Path, _chance: random.Random) -> None:
    """Cut off everything."""
    _write(path, b"")


def gone(path: Path, _chance: random.Random) -> None:
    """Delete it."""
    path.unlink()


def swapped(path: Path, chance: random.Random) -> None:
    """Replace it by another file of its size."""
    size = path.stat().st_size
    path.unlink()
    path.write_bytes(chance.randbytes(size))


def folder(path: Path, chance: random.Random) -> None:
    """Put a folder in its place, with or without a file."""
    path.unlink()
    path.mkdir()
    if chance.random() < 0.5:
        (path / path.name).write_bytes(b"something")


def link(path: Path, _chance: random.Random) -> None:
    """Put a symbolic link in its place, which leads to the right bytes."""
    elsewhere = path.parents[3] / f"elsewhere-{path.name}"
    shutil.move(path, elsewhere)
    path.symlink_to(elsewhere)


def pipe(path: Path, _chance: random.Random) -> None:
    """Put a named pipe in its place."""
    path.unlink()
    os.mkfifo(path)


Damage = Callable[[Path, random.Random], None]
DAMAGES: dict[str, Damage] = {
    each.__name__: each for each in (bit, short, long, empty, gone, swapped, folder, link, pipe)
}


def _write(path: Path, data: bytes) -> None:
    path.chmod(0o600)
    path.write_bytes(data)
    path.chmod(0o400)
