"""The installed libraries: those that a format needs, and the versions that matter to an object."""

import functools
import importlib
import platform
import sys
from collections.abc import Iterable, Iterator, Mapping
from importlib import metadata
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

from opstore_daemon.protocol import errors

PYTHON = "python"  # what the standard library's versions are noted under
MOST = 64  # libraries that a version's record takes


def require(module: str, extra: str, what: str) -> Any:
    """The module; raises LibraryMissing, with the extra of opstore that installs it, where it can't be imported."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        library = module.partition(".")[0]
        raise errors.LibraryMissing(what=what, library=library, extra=extra, reason=str(error)) from error


def modules_of(obj: object) -> Iterator[str]:
    """The modules that an object (a class, a function, a module) comes from, with those of the classes it inherits."""
    if isinstance(obj, ModuleType):
        yield obj.__name__
        return
    if isinstance(obj, FunctionType | BuiltinFunctionType):
        yield str(obj.__module__)
    for kind in (obj if isinstance(obj, type) else type(obj)).__mro__:
        yield str(kind.__module__)


def versions(modules: Iterable[str]) -> dict[str, str]:
    """The versions of the distributions that these modules come from, by name; the standard library is `python`.

    A module of no distribution (`__main__`, a file beside the script) has no version, and is left out.
    """
    names = {name for module in modules for name in _distributions(module)}
    found = {name: here for name in sorted(names, key=lambda name: (name != PYTHON, name)) if (here := installed(name))}
    return dict(list(found.items())[:MOST])


def differences(then: Mapping[str, str]) -> tuple[tuple[str, str, str | None], ...]:
    """(library, version then, version here or None) for each whose version here is another.

    Of Python only the first two numbers count: a third changes nothing that is saved.
    """
    compared = ((name, version, installed(name)) for name, version in sorted(then.items()))
    return tuple((name, version, here) for name, version, here in compared if not _alike(name, version, here))


def _alike(name: str, then: str, here: str | None) -> bool:
    if name == PYTHON and here is not None:
        return then.split(".")[:2] == here.split(".")[:2]
    return then == here


def installed(name: str) -> str | None:
    """The version of a distribution that is installed here."""
    if name == PYTHON:
        return platform.python_version()
    try:
        return metadata.version(name) or None
    except Exception:  # noqa: BLE001 - not installed, or what pip left of it is damaged: no version either way
        return None


@functools.cache  # a module that an object comes from was installed before
def _distributions(module: str) -> tuple[str, ...]:
    """The distributions that a module may come from: one, but for a namespace that several share."""
    top = module.partition(".")[0]
    if top in sys.stdlib_module_names:
        return (PYTHON,)
    # What is installed for editing says nothing of its modules: it is often called as they are.
    names = sorted(set(_by_top_level().get(top, [top])))
    if len(names) > 1:
        path = module.replace(".", "/")
        names = [name for name in names if any(path in file for file in _files(name))] or names
    return tuple(names)


@functools.cache
def _by_top_level() -> Mapping[str, list[str]]:
    try:
        found = metadata.packages_distributions()
        return {top: [name for name in names if name] for top, names in found.items()}
    except Exception:  # noqa: BLE001 - one damaged distribution must not keep an object from being saved
        return {}


def _files(name: str) -> list[str]:
    try:
        return [file.as_posix() for file in metadata.files(name) or ()]
    except Exception:  # noqa: BLE001 - as above
        return []
