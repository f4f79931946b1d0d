"""Installed libraries: those that a format needs, and the versions that an object depends on."""

import functools
import importlib
import platform
import sys
from collections.abc import Iterable, Iterator, Mapping
from importlib import metadata
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

from opstore_daemon.protocol import errors

PYTHON = "python"  # the name of the standard library in a record
MAX_LIBRARIES = 64  # of a version's record


def require(module: str, extra: str, what: str) -> Any:
    """Import and return a module. Raises LibraryMissing, which names the extra of opstore that installs it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        library = module.partition(".")[0]
        raise errors.LibraryMissing(what=what, library=library, extra=extra, reason=str(error)) from error


def modules_of(obj: object) -> Iterator[str]:
    """Yield the modules that define an object (also a class, a function or a module) and its base classes."""
    if isinstance(obj, ModuleType):
        yield obj.__name__
        return
    if isinstance(obj, FunctionType | BuiltinFunctionType):
        yield str(obj.__module__)
    for kind in (obj if isinstance(obj, type) else type(obj)).__mro__:
        yield str(kind.__module__)


def versions(modules: Iterable[str]) -> dict[str, str]:
    """Return the versions of the distributions that these modules belong to, by name. `python`: the standard library.

    A module without a distribution (`__main__`, a file next to the script) has no version and is skipped.
    """
    names = {name for module in modules for name in _distributions(module)}
    found = {name: here for name in sorted(names, key=lambda name: (name != PYTHON, name)) if (here := installed(name))}
    return dict(list(found.items())[:MAX_LIBRARIES])


def installed(name: str) -> str | None:
    """Return the version of an installed distribution, or None."""
    if name == PYTHON:
        return platform.python_version()
    try:
        return metadata.version(name) or None
    except Exception:  # noqa: BLE001 - not installed, or its metadata is damaged: no version either way
        return None


@functools.cache  # an imported module was installed before
def _distributions(module: str) -> tuple[str, ...]:
    """Return the distributions that a module may belong to: several only if they share a namespace."""
    top = module.partition(".")[0]
    if top in sys.stdlib_module_names:
        return (PYTHON,)
    # An editable install does not list its modules; its name often is that of the module.
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
