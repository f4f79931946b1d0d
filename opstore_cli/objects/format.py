"""What a format of objects is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

from opstore_cli.objects import libraries

Trusted = Sequence[str | type] | None


class Unfit(ValueError):
    """Why an object has no such file, or a file is no such object, in words that stand by themselves."""


class UntrustedFound(Exception):
    """A file holds objects of types that the caller does not trust."""

    def __init__(self, types: list[str]) -> None:
        super().__init__(types)
        self.types = types


def type_name(kind: type) -> str:
    """`sklearn.decomposition._pca.PCA`; a built-in type without its module."""
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _never(_obj: object) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Format:
    """A named format of files that hold one object.

    `dump` writes an object to a file and returns the modules that matter when it is loaded; `load` reads it back from
    a file, with the types that the caller trusts. Both may raise anything. `fits` says whether an object is saved so
    where no format is given: only formats that give it back exactly as it is, and run no code, ever say so.
    `library` is the module that has to be installed, and `extra` the extra of opstore that installs it.
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
        """Raises LibraryMissing where the format's library is not installed."""
        if self.library is not None:
            libraries.require(self.library, self.extra, f"the format {self.name}")
