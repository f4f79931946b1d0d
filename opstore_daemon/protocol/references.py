"""References, `NAME` or `NAME@SELECTOR` (docs/references.md). The store looks them up.

Selectors are tried in the order of the contract: latest, version, line, digest, subversions, range, any, tag.
"""

import re
from dataclasses import dataclass
from typing import Self

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.checked_text import CheckedText
from opstore_daemon.protocol.digests import PREFIX
from opstore_daemon.protocol.names import FORM, RULE, Name, OpName, is_name
from opstore_daemon.protocol.versions import HIGHEST, VERSION_RULE, Version, VersionNumber

SHORTEST_DIGEST = 8
MAX_NUMBER_DIGITS = 10  # the highest number of a version has so many
_LINE = re.compile(r"(0|[1-9][0-9]*)(?:\.(0|[1-9][0-9]*))?", re.ASCII)
_DOTTED_DIGITS = re.compile(r"\d+(?:\.\d+){0,2}")
_DIGEST = re.compile(r"[0-9a-f]{8,64}")
_SUBVERSIONS = re.compile(r"[0-9a-f]{4,64}(?:\.[0-9a-f]{4,64}){2}(?:_.*)?")
_FOREIGN = re.compile(r"([a-z0-9._-]{1,128})(?:==|[:=/])([a-z0-9._-]{1,128})", re.ASCII)  # as pip, Docker, MLflow
_INTEGER = r"(?:0|[1-9][0-9]*)"
_CLAUSE = re.compile(
    rf"\s*(?:(?:==|!=)\s*{_INTEGER}(?:\.{_INTEGER}){{0,2}}\.\*"
    rf"|(?:==|!=|<=|>=|<|>)\s*{_INTEGER}(?:\.{_INTEGER}){{0,2}}"
    rf"|~=\s*{_INTEGER}(?:\.{_INTEGER}){{1,2}})\s*",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Latest:
    """`latest`: the newest stored version that is not yanked."""

    def __str__(self) -> str:
        return "latest"


@dataclass(frozen=True, slots=True)
class AnyVersion:
    """`any`: any version of the downstream op. It is for links only."""

    def __str__(self) -> str:
        return "any"


@dataclass(frozen=True, slots=True)
class Line:
    """`1` or `1.2`: the newest version of that major, or major and minor, version number."""

    major: int
    minor: int | None

    def __str__(self) -> str:
        return str(self.major) if self.minor is None else f"{self.major}.{self.minor}"


@dataclass(frozen=True, slots=True)
class DigestPrefix:
    """`sha256:` and 8 to 64 hex digits: the newest version whose digest begins with them."""

    digits: str

    def __str__(self) -> str:
        return PREFIX + self.digits


@dataclass(frozen=True, slots=True)
class Range:
    """`>=1.2,<2`: the newest version whose number the specifiers admit."""

    specifiers: str

    def __str__(self) -> str:
        return self.specifiers


class TagName(Name):
    """The name of a tag: a legal name that a reference does not read as another selector."""

    __slots__ = ()

    @classmethod
    def check(cls, text: str) -> None:
        """Raise InvalidName or InvalidTag unless a reference could select a version by this tag."""
        super().check(text)
        try:
            selector = parse_selector(text)
        except (errors.InvalidReference, errors.InvalidVersion):
            selector = None
        if not isinstance(selector, Tag):
            raise errors.InvalidTag(tag=text)

    def digits(self) -> str | None:
        """Return the digits of a digest, if the name can be a prefix of them; a reference tries the tag first."""
        return str(self) if _DIGEST.fullmatch(self) else None

    def without_v(self) -> "VersionNumber | Line | None":
        """Return the number or line in a name such as `v1.2.3`; None for other names."""
        try:
            selector = parse_selector(self.removeprefix("v")) if self.startswith("v") else None
        except (errors.InvalidReference, errors.InvalidVersion):
            return None
        return selector if isinstance(selector, VersionNumber | Line) else None


@dataclass(frozen=True, slots=True)
class Tag:
    """`stable`: the version that the tag points to; without such a tag, hex digits are the prefix of a digest."""

    name: TagName

    def __str__(self) -> str:
        return self.name


_WORDS: dict[str, Latest | AnyVersion] = {str(selector): selector for selector in (Latest(), AnyVersion())}

Selector = Latest | VersionNumber | Line | DigestPrefix | Version | Range | AnyVersion | Tag


class Reference(CheckedText):
    """An op and a selector of one of its versions. `bare`: no selector was written, which means the latest version.

    `parse` reads its text as the same reference.
    """

    __slots__ = ("bare", "op", "selector")

    PATTERN = rf"^{FORM}(?:@[\s\S]+)?(?![\s\S])"

    op: OpName
    selector: Selector
    bare: bool

    def __new__(cls, op: OpName, selector: Selector, bare: bool) -> Self:
        """Return the reference; nothing is checked."""
        reference = super().__new__(cls, op if bare else f"{op}@{selector_text(selector)}")
        reference.op, reference.selector, reference.bare = op, selector, bare
        return reference

    def __getnewargs__(self) -> tuple[OpName, Selector, bool]:  # type: ignore[override]
        return self.op, self.selector, self.bare

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse `NAME` or `NAME@SELECTOR`; raise InvalidName, InvalidReference or InvalidVersion.

        A Reference is returned unchanged.
        """
        if isinstance(text, cls):
            return text
        op, at, selector = text.partition("@")
        foreign = None if at else _FOREIGN.fullmatch(text)
        if foreign is not None and is_name(foreign[1]):
            raise errors.InvalidName(name=text[:200], rule=RULE, suggestion=f"use {foreign[1]}@{foreign[2]}")
        return cls.of(op, selector if at else None)

    @classmethod
    def of(cls, op: str, selector: str | None) -> Self:
        """Return the reference of this op and selector, or the bare one; raise what `parse` does."""
        name = OpName.parse(op)
        if selector is None:
            return cls(name, Latest(), bare=True)
        return cls(name, parse_selector(selector, f"{op}@{selector}"), bare=False)


def selector_text(selector: Selector) -> str:
    """Return a text that `parse_selector` reads as this selector."""
    text = str(selector)
    # Three subversions of decimal digits would be read as a version number: the chariots form, with no time, is not.
    return f"{text}_" if isinstance(selector, Version) and is_number(text) else text


def parse_selector(text: str, reference: str | None = None) -> Selector:
    """Parse what follows the `@`; raise InvalidReference or InvalidVersion, which name the `reference`."""
    full_text = (reference or text)[:300]
    if not text:
        raise errors.InvalidReference(reference=full_text, rule="the selector after @ is empty")
    if text in _WORDS:
        return _WORDS[text]
    if text.startswith(PREFIX):
        return _digest_prefix(text.removeprefix(PREFIX), full_text)
    if _SUBVERSIONS.fullmatch(text) and not is_number(text):
        return Version.parse(text)
    if _DOTTED_DIGITS.fullmatch(text):
        return _number_line_or_digest(text)
    if text[0] in "<>=!~":
        return _range(text, full_text)
    if is_name(text):
        return Tag(TagName(text))
    raise errors.InvalidReference(
        reference=full_text, rule=f"{text[:200]!r} is not a selector, and not a legal tag either"
    )


def is_number(text: str) -> bool:
    """Return whether the text is the number of a version."""
    try:
        VersionNumber.parse(text)
    except errors.InvalidVersion:
        return False
    return True


def _digest_prefix(digits: str, full_text: str) -> DigestPrefix:
    if _DIGEST.fullmatch(digits) is None:
        rule = f"a digest is 'sha256:' and {SHORTEST_DIGEST} to 64 lower-case hex digits"
        raise errors.InvalidReference(reference=full_text, rule=rule)
    return DigestPrefix(digits)


def _number_line_or_digest(text: str) -> VersionNumber | Line | DigestPrefix:
    # A digest can begin with decimal digits only. Beyond ten, or with a zero in front, they are no number.
    if _DIGEST.fullmatch(text) and (len(text) > MAX_NUMBER_DIGITS or text[0] == "0"):
        return DigestPrefix(text)
    match = _LINE.fullmatch(text)
    if match is None:
        return VersionNumber.parse(text)
    parts = [int(part) for part in match.groups() if part is not None and len(part) <= MAX_NUMBER_DIGITS]
    if len(parts) != text.count(".") + 1 or max(parts) > HIGHEST:
        raise errors.InvalidVersion(text=text[:200], rule=VERSION_RULE)
    return Line(parts[0], parts[1] if len(parts) == 2 else None)


def _range(text: str, full_text: str) -> Range:
    clauses = text.split(",")
    if len(text) > 200 or not all(_CLAUSE.fullmatch(clause) for clause in clauses):
        rule = (
            "a range is made of ==, !=, <=, >=, < or > with one to three numbers, ~= with two or three, "
            "or == and != with '.*', separated by commas, as in '>=1.2,<2'"
        )
        raise errors.InvalidReference(reference=full_text, rule=rule)
    return Range(",".join("".join(clause.split()) for clause in clauses))
