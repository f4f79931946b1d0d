"""Ways in which the stored bytes of a blob are damaged."""

import os
from collections.abc import Callable
from pathlib import Path

from opstore_daemon.protocol.digests import Digest


def blob_path(folder: Path, digest: str | None) -> Path:
    """Return the file of the blob below the folder of a FileSaver."""
    name = Digest.parse(str(digest)).hex
    return folder / "blobs" / name[:2] / name


def _bit(path: Path, _other: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.chmod(0o600)
    path.write_bytes(data)


def _short(path: Path, _other: Path) -> None:
    path.chmod(0o600)
    os.truncate(path, path.stat().st_size - 1)


def _empty(path: Path, _other: Path) -> None:
    path.chmod(0o600)
    os.truncate(path, 0)


def _gone(path: Path, _other: Path) -> None:
    path.unlink()


def _swapped(path: Path, other: Path) -> None:
    path.unlink()
    os.link(other, path)


def _folder(path: Path, _other: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "kept.txt").write_text("somebody's")


def _link(path: Path, other: Path) -> None:
    path.unlink()
    path.symlink_to(other)


# Each takes the file of a blob, and that of another one of the same size.
DAMAGES: dict[str, Callable[[Path, Path], None]] = {
    "a bit": _bit,
    "short": _short,
    "empty": _empty,
    "gone": _gone,
    "swapped": _swapped,
    "a folder": _folder,
    "a link": _link,
}
# What `fsck --read-data` calls each of them; without reading, it can't see the first and the last of these.
KINDS = {
    "a bit": "damaged",
    "swapped": "damaged",
    "short": "size",
    "empty": "size",
    "gone": "missing",
    "a folder": "obstructed",
    "a link": "obstructed",
}
SEEN_BY_READING = {"a bit", "swapped"}
