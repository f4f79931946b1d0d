"""Folders of the tests: made from a description, and described again."""

import os
import shutil
import stat
import tarfile
from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path

from opstore_cli.folders.packing import PackedFolder

# What is at a path: bytes are a file, a text is where a link leads, None is a folder. A trailing "*" marks what its
# owner may execute.
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
    """The folder, its entries made in the order of the description, or against it."""
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
    """What is in the folder, as a description."""
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
    """The description as `described` gives it: without marks where links lead."""
    return {name: what.removesuffix("*") if isinstance(what, str) else what for name, what in tree.items()}


def packed(root: Path) -> bytes:
    """All bytes of the folder's stream."""
    folder = PackedFolder(str(root))
    try:
        return folder.read()
    finally:
        folder.close()


def tar(*members: tarfile.TarInfo, **options: object) -> bytes:
    """What Python's tarfile makes of these, each with as many zeros as its size says."""
    out = BytesIO()
    with tarfile.open(fileobj=out, mode="w", **options) as archive:  # type: ignore[call-overload]
        for member in members:
            archive.addfile(member, BytesIO(bytes(member.size)))
    return out.getvalue()


def member(
    name: str, kind: bytes = tarfile.REGTYPE, target: str = "", size: int = 0, **fields: object
) -> tarfile.TarInfo:
    """A member with the fields that ours have, but for those that are given."""
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.size = kind, target, size
    made.mode = {tarfile.DIRTYPE: 0o755, tarfile.SYMTYPE: 0o777}.get(kind, 0o644)
    for field, value in fields.items():
        setattr(made, field, value)
    return made


def remove(root: Path) -> None:
    shutil.rmtree(root)
