"""Create folders from a description, and describe folders."""

import os
import shutil
import stat
import tarfile
from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path

from opstore_cli.folders.packing import PackedFolder

# Path -> content: bytes of a file, the target of a link, None for a folder. A trailing "*" marks an executable file.
Tree = Mapping[str, bytes | str | None]

SAMPLE: Tree = {
    "a": None,
    "a/deep": None,
    "a/deep/weights.bin": b"\0\1\2" * 400,
    "a.b": b"sorted between a and what is in it",
    "empty": None,
    "link": "a/deep/weights.bin",
    "a/deep/up": "../../run*",
    "run*": b"#!/bin/sh\n",
    "nothing": b"",
    "block": b"x" * 512,
    "größe": b"a name that is not ASCII",
    "n" * 150: b"a name that is longer than a header",
}


def make(root: Path, tree: Tree, order: int = 1) -> Path:
    """Create the folder, its entries in the order of the description (1) or in reverse (-1)."""
    root.mkdir()
    for name, what in list(tree.items())[::order]:
        path = root / name.removesuffix("*")
        path.parent.mkdir(parents=True, exist_ok=True)
        if what is None:
            path.mkdir(exist_ok=True)
        elif isinstance(what, str):
            path.symlink_to(what.removesuffix("*"))
        else:
            path.write_bytes(what)
            path.chmod(0o755 if name.endswith("*") else 0o644)
    return root


def described(root: Path) -> dict[str, bytes | str | None]:
    """Return the description of the folder."""
    return dict(_described(root))


def _described(root: Path) -> Iterator[tuple[str, bytes | str | None]]:
    for path in root.rglob("*"):
        name = str(path.relative_to(root))
        if path.is_symlink():
            yield name, os.readlink(path)
        elif path.is_dir():
            yield name, None
        else:
            yield name + "*" * bool(path.stat().st_mode & stat.S_IXUSR), path.read_bytes()


def plain(tree: Tree) -> dict[str, bytes | str | None]:
    """Return the description as `described` gives it: without marks in the targets of links."""
    return {name: what.removesuffix("*") if isinstance(what, str) else what for name, what in tree.items()}


def packed(root: Path) -> bytes:
    """Return the bytes of the folder's stream."""
    folder = PackedFolder(str(root))
    try:
        return folder.read()
    finally:
        folder.close()


def tar(*members: tarfile.TarInfo, **options: object) -> bytes:
    """Return the archive that tarfile writes of these members, whose contents are zeros."""
    out = BytesIO()
    with tarfile.open(fileobj=out, mode="w", **options) as archive:  # type: ignore[call-overload]
        for member in members:
            archive.addfile(member, BytesIO(bytes(member.size)))
    return out.getvalue()


def member(
    name: str, kind: bytes = tarfile.REGTYPE, target: str = "", size: int = 0, **fields: object
) -> tarfile.TarInfo:
    """Return a member with the fields that opstore writes, except for the `fields`."""
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.size = kind, target, size
    made.mode = {tarfile.DIRTYPE: 0o755, tarfile.SYMTYPE: 0o777}.get(kind, 0o644)
    for field, value in fields.items():
        setattr(made, field, value)
    return made


def remove(root: Path) -> None:
    shutil.rmtree(root)
