"""Read requirements.txt as pip does: what it says about the version of each package.

The format is https://pip.pypa.io/en/stable/reference/requirements-file-format/. Nothing is downloaded or run.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)

MAX_FILES = 100  # that a file includes
MAX_REQUIREMENTS = 20_000  # lines of all of them
MAX_LINE = 1000  # characters without its options, such as hashes
MAX_SPECIFIERS = 100  # of one package: comparing them takes time that grows with their square

_COMMENT = re.compile(r"(^|\s+)#.*$")
_INCLUDE = re.compile(r"(?:-r|-c|--requirement|--constraint)(?:[\s=]+|(?<=-[rc]))(?P<path>.+)")
_EDITABLE = re.compile(r"(?:-e|--editable)(?:[\s=]+|(?<=-e))(?P<target>.+)")
# They say where packages come from, and nothing about versions.
_OPTIONS = re.compile(
    r"(?:-i|-f|--index-url|--pypi-url|--extra-index-url|--no-index|--find-links|--no-binary|--only-binary"
    r"|--prefer-binary|--require-hashes|--pre|--all-releases|--only-final|--trusted-host|--use-feature|--no-build"
    r"|--no-build-isolation|--no-deps|--no-use-wheel|--use-wheel|--emit-index-url)(?:[\s=].*)?|-[if]\S.*"
)
_ARCHIVES = (".whl", ".tar.gz", ".zip")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:\S+")
_ANY = SpecifierSet()


class InvalidFile(ValueError):
    """A file can't be read as requirements; the message is the reason."""


@dataclass(slots=True)
class Requirements:
    """What the files say: by normalized name, the specifiers without a marker and those with one.

    A version that is known exactly is the specifier `===VERSION`. `has_hashes`: pip installs nothing else then.
    """

    always: dict[str, SpecifierSet] = field(default_factory=dict)
    marked: dict[str, list[SpecifierSet]] = field(default_factory=dict)
    has_hashes: bool = False
    lines: int = 0
    counts: Counter[str] = field(default_factory=Counter)

    def lookup(self, name: str) -> tuple[str | SpecifierSet, ...]:
        """Return the version of a package, or the versions that are allowed; several if that depends on markers."""
        base = self.always.get(name)
        variants = [(_ANY if base is None else base) & each for each in self.marked.get(name, ())]
        if base is not None and not variants:
            variants = [base]
        return tuple(dict.fromkeys(map(_pinned, variants)))

    def add(self, requirement: Requirement, specifier: SpecifierSet) -> None:
        """Add a requirement, which has the name and the marker, with these versions. Raises InvalidFile."""
        name = canonicalize_name(requirement.name)
        self.counts[name] += 1 + len(specifier)
        if self.counts[name] > MAX_SPECIFIERS:
            raise InvalidFile(f"it has more than {MAX_SPECIFIERS} specifiers for {name}")
        if requirement.marker is None:
            self.always[name] = self.always.get(name, _ANY) & specifier
        else:
            self.marked.setdefault(name, []).append(specifier)


def read_lines(requirements: Requirements, text: str, path: Path) -> Iterator[Path]:
    """Add the lines of a file to `requirements`, and yield the path of each file that it includes.

    Raises InvalidFile, which names the line.
    """
    for number, line in _lines(text):
        requirements.lines += 1
        if requirements.lines > MAX_REQUIREMENTS:
            raise InvalidFile(f"it has more than {MAX_REQUIREMENTS} lines, with the files that it includes")
        if included := _INCLUDE.fullmatch(line):
            yield _included(included["path"], path, number)
        elif editable := _EDITABLE.fullmatch(line):
            _add_location(requirements, editable["target"], number)
        elif _OPTIONS.fullmatch(line):
            requirements.has_hashes |= line.startswith("--require-hashes")
        elif line.startswith("-"):
            raise InvalidFile(f"line {number}: {_shown(line.split()[0])} is not an option of a requirements file")
        else:
            _add(requirements, line, number)


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield the number and the text of each line: continued lines are one, without comments and blank lines."""
    parts: list[str] = []
    start = 0
    for number, line in enumerate([*text.splitlines(), ""], start=1):
        start = start if parts else number
        is_comment = _COMMENT.match(line) is not None
        if line.endswith("\\") and not is_comment:
            parts.append(line.rstrip("\\"))
            continue
        # A comment does not end with a backslash that continues it, and ends the line that is continued.
        joined = _COMMENT.sub("", "".join([*parts, f" {line}" if is_comment else line])).strip()
        parts = []
        if joined:
            yield start, joined


def _included(target: str, path: Path, number: int) -> Path:
    target = target.strip().strip("\"'")
    if re.match(r"(?:https?|ftp|file):", target, re.IGNORECASE):
        raise InvalidFile(f"line {number} includes {_shown(target)}: download it, and include the copy")
    return path.parent / target


def _add(requirements: Requirements, line: str, number: int) -> None:
    words = line.split(" ")
    end = next((place for place, word in enumerate(words) if word.startswith("-")), len(words))
    text = " ".join(words[:end]).strip()
    requirements.has_hashes |= any(word.startswith("--hash") for word in words[end:])
    if len(text) > MAX_LINE:
        raise InvalidFile(f"line {number} has more than {MAX_LINE} characters")
    try:
        requirement = Requirement(text)
    except InvalidRequirement:
        _add_location(requirements, text, number)
        return
    if requirement.name.endswith(_ARCHIVES):  # a file in the folder
        _add_location(requirements, text, number)
        return
    specifier = requirement.specifier if requirement.url is None else _of_archive(requirement.url)[1]
    requirements.add(requirement, specifier)


def _add_location(requirements: Requirements, text: str, number: int) -> None:
    """Add a package that is given by its URL or path, if that says its name. Raises InvalidFile for anything else."""
    location = text.partition(";")[0].strip().strip("\"'")
    is_path = location.startswith((".", "/", "~", "$")) or "/" in location or "\\" in location
    is_one_word = not re.search(r"\s", location)
    if not is_one_word or not (is_path or _URL.match(location) or location.endswith(_ARCHIVES)):
        raise InvalidFile(f"line {number}: {_shown(text)} is not a requirement")
    name, specifier = _of_archive(location)
    if found := re.search(r"[#&]egg=([A-Za-z0-9][A-Za-z0-9._-]*)", location):
        name = found[1]
    if name is not None:
        marker = f" ;{text.partition(';')[2]}" if ";" in text else ""
        try:
            requirements.add(Requirement(f"{name}{marker}"), specifier)
        except InvalidRequirement:
            raise InvalidFile(f"line {number}: {_shown(text)} is not a requirement") from None


def _of_archive(url: str) -> tuple[str | None, SpecifierSet]:
    """Return the name and the version that the file name of a wheel or a source archive has, if it is one."""
    try:
        filename = unquote(urlsplit(url).path).rpartition("/")[2]
        if filename.endswith(".whl"):
            name, version, *_ = parse_wheel_filename(filename)
            return name, SpecifierSet(f"==={version}")
        name, version = parse_sdist_filename(filename)
        return name, SpecifierSet(f"==={version}")
    except (InvalidWheelFilename, InvalidSdistFilename, ValueError):
        return None, _ANY


def _pinned(allowed: SpecifierSet) -> str | SpecifierSet:
    """Return the version if only one is allowed, else the specifiers."""
    for each in allowed:
        exact = each.operator in ("==", "===") and not each.version.endswith(".*")
        if exact and allowed.contains(each.version, prereleases=True):
            return each.version
    return allowed


def _shown(text: str) -> str:
    return repr(text[:100])
