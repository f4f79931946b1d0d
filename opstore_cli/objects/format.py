"""The type of a format of objects."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

from opstore_cli.objects import libraries

Trusted = Sequence[str | type] | None


class Unfit(ValueError):
    """An object can't be stored in a format, or a file is not of that format. The message says why."""


class UntrustedFound(Exception):
    """A file contains objects of types that the caller does not trust."""

    def __init__(self, types: list[str]) -> None:
        super().__init__(types)
        self.types = types


def type_name(kind: type) -> str:
    """Return the full name of a type, as `sklearn.decomposition._pca.PCA`; a built-in type has no module."""
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _never(_obj: object) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Format:
    """A named format of files that contain one object. `takes` describes which objects, for people.

    `dump` writes an object to a file and returns the names of the modules that are needed to load it. `load` reads the
    object from a file, with the types that the caller trusts. Both may raise any exception. `fits` returns whether this
    is the default format of an object: only if it restores the object exactly and runs no code. `library` is the module
    that has to be installed, and `extra` the extra of opstore that installs it.
    """

    name: str
    takes: str
    dump: Callable[[Any, BinaryIO], set[str]]
    load: Callable[[BinaryIO, Trusted], Any]
    fits: Callable[[object], bool] = _never
    runs_code: bool = False
    library: str | None = None
    extra: str = ""

    def require(self) -> None:
        """Raise LibraryMissing if the format's library is not installed."""
        if self.library is not None:
            libraries.require(self.library, self.extra, f"the format {self.name}")
