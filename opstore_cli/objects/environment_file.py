"""Read what a deployment will install: a requirements file, or the lock of a package manager."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

from opstore_cli.files.bounded_read import Unreadable, read_bytes
from opstore_cli.files.text import NotText, decode, parse_toml
from opstore_cli.objects.environment import Environment
from opstore_cli.objects.libraries import PYTHON
from opstore_cli.objects.requirement_file import MAX_FILES, MAX_LINE, InvalidFile, Requirements, read_lines
from opstore_daemon.protocol import errors

if TYPE_CHECKING:
    from packaging.specifiers import SpecifierSet

MAX_FILE = 8 * 1024 * 1024  # bytes
KINDS = "requirements.txt, uv.lock, pylock.toml, poetry.lock and pdm.lock"
_LOCKS = ("uv.lock", "poetry.lock", "pdm.lock")  # any other may be for pip, such as the requirements.lock of rye
_LOCK = re.compile(r"^(?:\[\[packages?\]\]|lock-version\s*=|requires-python\s*=)", re.MULTILINE)


def read(path: Path) -> Environment:
    """Return the environment that the file describes. Raises FileRefused, also for a file that it includes."""
    text = _text(path)
    if path.suffix == ".toml" or path.name in _LOCKS or _LOCK.search(text):
        return _of_lock(path, text)
    return _of_requirements(path, text)


def _text(path: Path) -> str:
    try:
        return decode(read_bytes(path, MAX_FILE))
    except FileNotFoundError:
        raise errors.FileRefused(path=str(path), reason="there is no such file") from None
    except OSError as error:
        raise errors.FileRefused(path=str(path), reason=errors.reason(error)) from None
    except (Unreadable, NotText) as error:
        raise errors.FileRefused(path=str(path), reason=str(error)) from None


# --- requirements.txt -----------------------------------------------------------------------------------------------


def _of_requirements(path: Path, text: str) -> Environment:
    from packaging.specifiers import SpecifierSet

    found = Requirements()
    seen: set[Path] = set()

    def read_file(path: Path, text: str) -> None:
        seen.add(path.resolve())
        try:
            for included in read_lines(found, text, path):
                if included.resolve() in seen:
                    continue
                if len(seen) > MAX_FILES:
                    raise InvalidFile(f"it includes more than {MAX_FILES} files")
                read_file(included, _text(included))
        except InvalidFile as error:
            raise errors.FileRefused(path=str(path), reason=f"{error}; supported are {KINDS}") from None

    read_file(path, text)

    def lookup(name: str) -> tuple[str | SpecifierSet, ...]:
        # A file for pip is about packages: it names no Python, which is there all the same.
        return (SpecifierSet(),) if name == PYTHON else found.lookup(name)

    # pip installs a file with hashes only if it names every package.
    return Environment(str(path), lookup, is_complete=found.has_hashes)


# --- locks ----------------------------------------------------------------------------------------------------------


def _of_lock(path: Path, text: str) -> Environment:
    try:
        content = parse_toml(text)
        packages = content.get("packages", content.get("package"))
        if not isinstance(packages, list):
            raise InvalidFile("it has no list of packages")
        return Environment(str(path), _lookup(content, packages))
    except (InvalidFile, NotText) as error:
        raise errors.FileRefused(path=str(path), reason=f"{error}; supported are {KINDS}") from None


def _lookup(content: dict[str, Any], packages: list[Any]) -> Callable[[str], tuple[str | SpecifierSet, ...]]:
    from packaging.specifiers import InvalidSpecifier, SpecifierSet
    from packaging.utils import canonicalize_name

    found: dict[str, list[str | SpecifierSet]] = {}
    for number, package in enumerate(packages, start=1):
        name, version = (package.get(key) for key in ("name", "version")) if isinstance(package, dict) else (None, None)
        if not _is_short(name) or not (version is None or _is_short(version)):
            raise InvalidFile(f"its package {number} has no name, or a version that is not a short text")
        # A package of a folder or a repository may have none.
        found.setdefault(canonicalize_name(name), []).append(SpecifierSet() if version is None else version)
    python = content.get("requires-python", "")
    try:
        found[PYTHON] = [SpecifierSet(python if _is_short(python) else "no text")]
    except InvalidSpecifier:
        raise InvalidFile("its requires-python is not a specifier of versions") from None
    return lambda name: tuple(dict.fromkeys(found.get(name, ())))


def _is_short(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and len(value) <= MAX_LINE
