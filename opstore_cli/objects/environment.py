"""Compare the libraries that an object was saved with to those of an environment, and say how bad a difference is.

A file needs the major and minor version of some libraries, by its format: of the library that wrote it and, if it holds
objects by their classes, of those that define the classes. `load` warns by these rules, and `validate --env` judges.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from opstore_cli.objects import libraries
from opstore_cli.objects.libraries import PYTHON

if TYPE_CHECKING:
    from packaging.specifiers import SpecifierSet
    from packaging.version import Version

Severity = Literal["invalid", "unknown", "warning"]
SEVERITIES: tuple[Severity, ...] = ("invalid", "unknown", "warning")  # the worst first

# By format: the libraries that have to have the same major and minor version as at the save.
FILE_FORMATS: Mapping[str, frozenset[str]] = {
    "bytes": frozenset(),
    "json": frozenset(),
    "numpy": frozenset({"numpy"}),
    "parquet": frozenset({"pandas", "pyarrow"}),
    "safetensors": frozenset({"safetensors"}),
    "xgboost": frozenset({"xgboost"}),
    "lightgbm": frozenset({"lightgbm"}),
    "onnx": frozenset({"onnx"}),
}
# These hold the inner state of objects of any class, which may change with each minor version of the class's library.
CLASS_FORMATS = frozenset({"skops", "joblib", "pickle", "cloudpickle"})
_PLAIN_FORMATS = frozenset(name for name, needed in FILE_FORMATS.items() if not needed)
# They read the arrays of other minor versions, and skops stores arrays in files that every version reads.
_ARRAY_LIBRARIES = frozenset({"numpy", "scipy"})

_MAX_LISTED = 5  # of the versions that a library may have

_Relation = Literal["same", "close", "other"]
_ANY: frozenset[_Relation] = frozenset({"same", "close", "other"})


@dataclass(frozen=True, slots=True)
class Environment:
    """The libraries that a program runs with, or will run with.

    `lookup` returns what is known about a library, by its normalized name: its version as text, or the versions that
    are allowed; several if it depends on the platform; nothing if the environment does not name it. It is then missing
    if the environment is complete, else its version is unknown.
    """

    label: str
    lookup: Callable[[str], tuple[str | SpecifierSet, ...]]
    is_complete: bool = True


class LibraryDifference(NamedTuple):
    """A library of a version that is, or may be, another one in an environment.

    `found` is its version there, or the versions that are allowed; None if the environment does not name it. `detail`
    says so in words, such as `has 1.5.0`. `severity`: `invalid` if the file is not made for that version, `unknown` if
    it may get such a version, `warning` for any other difference.
    """

    library: str
    recorded: str
    found: str | None
    severity: Severity
    detail: str


def installed() -> Environment:
    """Return the environment of this interpreter."""

    def lookup(name: str) -> tuple[str, ...]:
        here = libraries.installed(name)
        return () if here is None else (here,)

    return Environment("this Python", lookup)


def compare(
    environment: Environment, format_name: str | None, recorded: Mapping[str, str]
) -> tuple[LibraryDifference, ...]:
    """Return the differences between the recorded libraries of a version and those of the environment, worst first.

    A format that is not known counts as one that holds objects by their classes: it fails closed.
    """
    compared = (_compare(environment, format_name, *each) for each in sorted(recorded.items()))
    return tuple(sorted(filter(None, compared), key=lambda each: SEVERITIES.index(each.severity)))


def _compare(
    environment: Environment, format_name: str | None, library: str, recorded: str
) -> LibraryDifference | None:
    name = _normalized(library)
    depth, found = _depth(format_name, name), environment.lookup(name)
    if not found and environment.is_complete:
        # A load imports every library that was recorded, except for formats that need none.
        missing: Severity = "warning" if format_name in _PLAIN_FORMATS else "invalid"
        return LibraryDifference(library, recorded, None, missing, "does not have it")
    relations = _relations(found, recorded, depth, only_minor=name == PYTHON) if found else _ANY
    severity = _severity(relations, needed=depth is not None)
    if severity is None:
        return None
    return LibraryDifference(library, recorded, _listed(found) or None, severity, _detail(found))


def _listed(found: tuple[str | SpecifierSet, ...]) -> str:
    texts = [str(each) for each in found[:_MAX_LISTED]]
    if len(found) > _MAX_LISTED:
        texts.append(f"{len(found) - _MAX_LISTED} others")
    return " or ".join(texts)


def _detail(found: tuple[str | SpecifierSet, ...]) -> str:
    if not found:
        return "does not name it"
    text = _listed(found)
    if all(isinstance(each, str) for each in found):
        return f"has {text}"
    return f"allows {text}" if all(map(str, found)) else "does not say which version it has"


def _depth(format_name: str | None, name: str) -> int | None:
    """Return how many numbers of the library's version have to be the same; None: a difference is a warning."""
    if name == PYTHON:
        return 2 if format_name == "cloudpickle" else None  # the file holds bytecode
    if format_name is not None and format_name in FILE_FORMATS:
        return 2 if name in FILE_FORMATS[format_name] else None
    if name in _ARRAY_LIBRARIES:
        return None if format_name == "skops" else 1
    return 2


def _severity(relations: Set[_Relation], *, needed: bool) -> Severity | None:
    if needed and "other" in relations:
        return "invalid" if relations == {"other"} else "unknown"
    return None if "same" in relations else "warning"


def _relations(
    found: Iterable[str | SpecifierSet], recorded: str, depth: int | None, *, only_minor: bool
) -> Set[_Relation]:
    """Return how the versions that the library may have there relate to the recorded one."""
    related: set[_Relation] = set()
    for each in found:
        if isinstance(each, str):
            related.add(_relation(each, recorded, depth, only_minor))
        elif _parsed(recorded) is None:
            related |= _ANY
        else:
            samples = _samples(each, recorded)
            related |= {_relation(version, recorded, depth, only_minor) for version in samples} or _ANY
    return related


def _relation(actual: str, recorded: str, depth: int | None, only_minor: bool) -> _Relation:
    """Return `same`, `other` if one of the first `depth` numbers differs, else `close`."""
    if actual == recorded:
        return "same"
    one, two = _parsed(actual), _parsed(recorded)
    if one is None or two is None:
        return "close" if depth is None else "other"
    if one == two or (only_minor and _start(one, 2) == _start(two, 2)):
        return "same"
    return "close" if depth is None or _start(one, depth) == _start(two, depth) else "other"


def _start(version: Version, depth: int) -> tuple[int, ...]:
    return (version.epoch, *(*version.release, 0, 0)[:depth])


def _samples(allowed: SpecifierSet, recorded: str) -> Iterator[str]:
    """Yield versions that are allowed: at least one of each relation to the recorded version, if there is one.

    What is allowed is a union of intervals. So the lower end of each is enough, with versions at the ends of the
    recorded version's minor and major and just above it.
    """
    version = _parsed(recorded)
    assert version is not None, "the caller looked"  # noqa: S101
    major, minor = _start(version, 2)[1:]
    end = 999_999_999
    above = ".".join(map(str, (*version.release, 0, 1)))
    texts = {recorded, above, "0", f"{major}.{minor}", f"{major}.{minor}.{end}", f"{major}.{minor + 1}", f"{major + 1}"}
    texts |= {f"{major}.0", f"{major}.{end}", f"{max(major - 1, 0)}.{end}", f"{major}.{max(minor - 1, 0)}.{end}"}
    for specifier in allowed:
        start = specifier.version.removesuffix(".*")
        if (bound := _parsed(start)) is not None:
            release = ".".join(map(str, bound.release))
            texts |= {start, f"{start}.0.1", f"{release}.0.0.1"}
            texts |= {f"{release}.1", ".".join(map(str, (*bound.release[:-1], bound.release[-1] + 1)))}
    if version.epoch:
        texts |= {f"{version.epoch}!{text}" for text in texts if "!" not in text}
    yield from (
        text for text in sorted(texts) if _parsed(text) is not None and allowed.contains(text, prereleases=True)
    )


def _parsed(text: str) -> Version | None:
    from packaging.version import Version

    try:
        return Version(text)
    except ValueError:  # InvalidVersion is one, and so is the error for a number of too many digits
        return None


def _normalized(name: str) -> str:
    from packaging.utils import canonicalize_name

    return canonicalize_name(name)
