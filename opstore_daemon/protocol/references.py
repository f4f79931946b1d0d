"""References, `NAME` or `NAME@SELECTOR`: read here, looked up in the store (CONTRACT section 2).

The selectors are tried in the order of the contract: latest, number, line, digest, subversions, range, tag.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.names import check_name, is_name
from opstore_daemon.protocol.versions import Version

if TYPE_CHECKING:
    pass

import re
from dataclasses import dataclass

from opstore_daemon.protocol.digests import PREFIX
from opstore_daemon.protocol.versions import HIGHEST, VERSION_RULE, VersionNumber

SHORTEST_DIGEST = 8
_LINE = re.compile(r"(0|[1-9][0-9]*)(?:\.(0|[1-9][0-9]*))?", re.ASCII)
_DOTTED_DIGITS = re.compile(r"\d+(?:\.\d+){0,2}")
_DIGEST = re.compile(r"[0-9a-f]{8,64}")
_SUBVERSIONS = re.compile(r"[0-9a-f]{4,64}(?:\.[0-9a-f]{4,64}){2}(?:_.*)?")
_INTEGER = r"(?:0|[1-9][0-9]*)"
_CLAUSE = re.compile(
    rf"\s*(?:(?:==|!=)\s*{_INTEGER}(?:\.{_INTEGER}){{0,2}}\.\*"
    rf"|(?:==|!=|<=|>=|<|>)\s*{_INTEGER}(?:\.{_INTEGER}){{0,2}}"
    rf"|~=\s*{_INTEGER}(?:\.{_INTEGER}){{1,2}})\s*",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Latest:
    """The newest version that is neither yanked nor removed."""

    def __str__(self) -> str:
        return "latest"


@dataclass(frozen=True, slots=True)
class Line:
    """`1` or `1.2`: the newest by sequence whose number begins so."""

    major: int
    minor: int | None

    def __str__(self) -> str:
        return str(self.major) if self.minor is None else f"{self.major}.{self.minor}"


@dataclass(frozen=True, slots=True)
class DigestPrefix:
    """`sha256:` and 8 to 64 hex digits: the newest version whose digest begins so."""

    digits: str

    def __str__(self) -> str:
        return PREFIX + self.digits


@dataclass(frozen=True, slots=True)
class Range:
    """`>=1.2,<2`: the newest by sequence that the specifier set admits."""

    specifiers: str

    def __str__(self) -> str:
        return self.specifiers


@dataclass(frozen=True, slots=True)
class Tag:
    """A legal name that is none of the others."""

    name: str

    def __str__(self) -> str:
        return self.name


Selector = Latest | VersionNumber | Line | DigestPrefix | Version | Range | Tag


@dataclass(frozen=True, slots=True)
class Reference:
    """An op's name and what to pick of it. `bare` where no selector was written."""

    op: str
    selector: Selector
    bare: bool

    def __str__(self) -> str:
        return self.op if self.bare else f"{self.op}@{self.selector}"


def written(selector: Selector) -> str:
    """The text that is read as this selector: that of a version of decimal digits would be read as a number."""
    return f"{selector}_" if isinstance(selector, Version) else str(selector)


def parse_reference(text: str) -> Reference:
    """Reads `NAME` or `NAME@SELECTOR`; raises InvalidName, InvalidReference or InvalidVersion."""
    name, at, selector = text.partition("@")
    check_name(name)
    if not at:
        return Reference(name, Latest(), bare=True)
    return Reference(name, parse_selector(selector, text), bare=False)


def parse_selector(text: str, reference: str | None = None) -> Selector:
    """Reads what stands behind the `@`; raises InvalidReference or InvalidVersion."""
    shown = (reference or text)[:300]
    if not text:
        raise errors.InvalidReference(reference=shown, rule="the selector behind @ is empty")
    if text == "latest":
        return Latest()
    if text.startswith(PREFIX):
        return _digest_prefix(text.removeprefix(PREFIX), shown)
    if _SUBVERSIONS.fullmatch(text) and not is_number(text):
        return Version.parse(text)
    if _DOTTED_DIGITS.fullmatch(text):
        return _number_or_line(text)
    if text[0] in "<>=!~":
        return _range(text, shown)
    if is_name(text):
        return Tag(text)
    raise errors.InvalidReference(reference=shown, rule=f"{text[:200]!r} is no selector, and no legal tag either")


def is_number(text: str) -> bool:
    """Return whether the text is the number of a version."""
    try:
        VersionNumber.parse(text)
    except errors.InvalidVersion:
        return False
    return True


def _digest_prefix(digits: str, shown: str) -> DigestPrefix:
    if _DIGEST.fullmatch(digits) is None:
        rule = f"a digest is 'sha256:' and {SHORTEST_DIGEST} to 64 lower-case hex digits"
        raise errors.InvalidReference(reference=shown, rule=rule)
    return DigestPrefix(digits)


def _number_or_line(text: str) -> VersionNumber | Line:
    match = _LINE.fullmatch(text)
    if match is None:
        return VersionNumber.parse(text)
    parts = [int(part) for part in match.groups() if part is not None and len(part) <= 10]
    if len(parts) != text.count(".") + 1 or max(parts) > HIGHEST:
        raise errors.InvalidVersion(text=text[:200], rule=VERSION_RULE)
    return Line(parts[0], parts[1] if len(parts) == 2 else None)


def _range(text: str, shown: str) -> Range:
    clauses = text.split(",")
    if len(text) > 200 or not all(_CLAUSE.fullmatch(clause) for clause in clauses):
        rule = (
            "a range is made of ==, !=, <=, >=, < or > with one to three numbers, ~= with two or three, "
            "or == and != with '.*', set apart by commas, as in '>=1.2,<2'"
        )
        raise errors.InvalidReference(reference=shown, rule=rule)
    return Range(",".join("".join(clause.split()) for clause in clauses))


def check_references(*lists: Sequence[str]) -> None:
    """Refuses what is no reference before bytes move."""
    for references in lists:
        for reference in references:
            parse_reference(reference)
