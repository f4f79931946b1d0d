"""The class of `UPath("opstore://…")`, which universal_pathlib finds by its entry point."""

from collections.abc import Iterator
from typing import Any, Self

import fsspec
from upath import UPath

from opstore_cli.fsspec import OpStoreFileSystem

# universal_pathlib asks a file system for the rules of its paths, but only one that fsspec has loaded.
fsspec.register_implementation("opstore", OpStoreFileSystem, clobber=True)


class OpStorePath(UPath):
    """A path in the store. Without this class universal_pathlib uses one of its own, and warns that nobody tests it."""

    def glob(self, pattern: str, **_: Any) -> Iterator[Self]:
        """Yield the paths that match. Those in a version begin as this path does, like those of `iterdir`.

        The file system names them by the number of the version, which universal_pathlib would append to this path.
        """
        base = self.absolute()
        joined = self.fs._strip_protocol(base.joinpath(pattern).path)
        first = base.path.partition("/")[0]
        is_inside = first != "" and joined.startswith(f"{first}/")
        for name in self.fs.glob(joined):
            _, slash, rest = name.partition("/")
            yield base.with_segments(f"{first}/{rest}" if is_inside and slash else name)

    def rglob(self, pattern: str, **options: Any) -> Iterator[Self]:
        """Yield the paths that match, in all folders below this one."""
        return self.glob(f"**/{pattern}", **options)

    def mkdir(self, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> None:
        """Do nothing if the folder exists and may, as that of a file that is written next. Raises PathRefused."""
        if not (exist_ok and self.is_dir()):
            super().mkdir(mode, parents, exist_ok)
