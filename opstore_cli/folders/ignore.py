"""Which entries of a folder are not pushed: patterns as in a .gitignore (https://git-scm.com/docs/gitignore)."""

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self, TypeVar

from opstore_cli.files.text import NotText, read_text
from opstore_daemon.protocol import errors

IGNORE_FILE = ".opstoreignore"
MAX_PATTERN = 1024  # characters

T = TypeVar("T")
Token = Callable[[str], bool]  # matches one character
Glob = Sequence[Token | None]  # of one name; None is `*`

_CLASSES: dict[str, Token] = {
    "alnum": str.isalnum,
    "alpha": str.isalpha,
    "digit": str.isdigit,
    "lower": str.islower,
    "space": str.isspace,
    "upper": str.isupper,
    "punct": lambda char: char.isascii() and char.isprintable() and not char.isalnum() and char != " ",
    "xdigit": lambda char: char in "0123456789abcdefABCDEF",
}


class InvalidPattern(ValueError):
    """The text is not a pattern; the message is the reason."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One pattern: `includes` what earlier ones exclude (`!`), only folders (`/` at the end), and the path's names.

    In `names`, None stands for any number of names (`**`).
    """

    includes: bool
    only_folders: bool
    names: Sequence[Glob | None]

    @classmethod
    def parse(cls, line: str) -> "Rule | None":
        """Return the rule; None for a blank line or a comment. Raises InvalidPattern."""
        if len(line) > MAX_PATTERN:
            raise InvalidPattern(f"it has more than {MAX_PATTERN} characters")
        text = _without_trailing_blanks(line.rstrip("\r\n"))
        if not text or text.startswith("#"):
            return None
        includes = text.startswith("!")
        text = text.removeprefix("!")
        only_folders = text.endswith("/")
        text = text.removesuffix("/")
        if not text:
            raise InvalidPattern("it names nothing")
        parts = text.removeprefix("/").split("/")
        names: list[Glob | None] = [None if part == "**" else _glob(part) for part in parts]
        if "/" not in text:
            names.insert(0, None)  # at any depth
        elif names[-1] is None:
            names.insert(len(names) - 1, [None])  # everything in the folder, but not the folder
        return cls(includes, only_folders, names)

    def matches(self, path: Sequence[str], is_folder: bool) -> bool:
        """Return whether it matches the path, given by its names."""
        return (is_folder or not self.only_folders) and _matches(self.names, path, _matches_name)


class IgnoreRules:
    """The rules for one folder: the last one that matches an entry decides. What is in an ignored folder is ignored."""

    def __init__(self, lines: Iterable[str]) -> None:
        """Parse the patterns. Raises InvalidPattern."""
        self._git = Rule.parse(".git")
        self._rules = [self._git, *(Rule.parse(line) for line in lines)]

    @classmethod
    def of_folder(cls, folder: str, exclude: Sequence[str] = ()) -> Self:
        """Return the rules of its .opstoreignore and, after them, those of `exclude`; `.git` is ignored by default.

        Raises FileRefused, which names the line of an invalid pattern, and InvalidRequest for one in `exclude`.
        """
        for pattern in exclude:
            try:
                Rule.parse(pattern)
            except InvalidPattern as error:
                raise errors.InvalidRequest(reason=f"{pattern[:100]!r} is not a pattern to exclude: {error}") from None
        path = Path(folder, IGNORE_FILE)
        try:
            # Not splitlines(), which also splits at characters that a name may have.
            lines = read_text(path).replace("\r\n", "\n").split("\n") if os.path.lexists(path) else []
        except (OSError, NotText) as error:
            reason = errors.reason(error) if isinstance(error, OSError) else str(error)
            raise errors.FileRefused(path=str(path), reason=reason) from None
        for number, line in enumerate(lines, 1):
            try:
                Rule.parse(line)
            except InvalidPattern as error:
                raise errors.FileRefused(path=str(path), reason=f"line {number} is not a pattern: {error}") from None
        return cls([*lines, *exclude])

    def deciding(self, path: bytes, is_folder: bool) -> Rule | None:
        """Return the rule that ignores the entry at the path, which is relative to the folder; None if none does."""
        names = os.fsdecode(path).split("/")
        for rule in reversed(self._rules):
            if rule is not None and rule.matches(names, is_folder):
                return None if rule.includes else rule
        return None

    def is_default(self, rule: Rule) -> bool:
        """Return whether it is the rule for `.git`, which no user wrote."""
        return rule is self._git


def _matches(pattern: Sequence[T | None], items: Sequence[str], matches_one: Callable[[T, str], bool]) -> bool:
    """Return whether the pattern matches all items, where None matches any number of them.

    Only the last None is ever extended, so that the time is at most the product of the lengths.
    """
    at = position = 0
    retry: tuple[int, int] | None = None
    while position < len(items):
        token = pattern[at] if at < len(pattern) else None
        if at < len(pattern) and token is None:
            retry = at, position
            at += 1
        elif token is not None and matches_one(token, items[position]):
            at, position = at + 1, position + 1
        elif retry is not None:
            retry = retry[0], retry[1] + 1
            at, position = retry[0] + 1, retry[1]
        else:
            return False
    return all(token is None for token in pattern[at:])


def _matches_name(glob: Glob, name: str) -> bool:
    return _matches(glob, name, lambda token, char: token(char))


def _without_trailing_blanks(text: str) -> str:
    stripped = text.rstrip(" ")
    backslashes = len(stripped) - len(stripped.rstrip("\\"))
    return stripped + " " if backslashes % 2 and stripped != text else stripped


def _glob(text: str) -> Glob:
    tokens: list[Token | None] = []
    position = 0
    while position < len(text):
        char = text[position]
        position += 1
        if char == "*":
            if not tokens or tokens[-1] is not None:
                tokens.append(None)
        elif char == "?":
            tokens.append(_anything)
        elif char == "[":
            token, position = _set(text, position)
            tokens.append(token)
        else:
            if char == "\\":
                if position == len(text):
                    raise InvalidPattern("it ends in a backslash")
                char, position = text[position], position + 1
            tokens.append(char.__eq__)
    return tokens


def _anything(_char: str) -> bool:
    return True


def _set(text: str, start: int) -> tuple[Token, int]:
    """Return the token of a set whose `[` is before `start`, and the position after its `]`."""
    position = start
    negated = text[position : position + 1] in ("!", "^")
    position += negated
    first = position
    found: list[Token] = []
    while text[position : position + 1] != "]" or position == first:
        if text.startswith("[:", position) and (end := text.find(":]", position)) > 0:
            name = text[position + 2 : end]
            if name not in _CLASSES:
                raise InvalidPattern(f"[:{name}:] is not a class of characters")
            found.append(_CLASSES[name])
            position = end + 2
            continue
        low, position = _char(text, position)
        high = low
        if text[position : position + 1] == "-" and text[position + 1 : position + 2] not in ("", "]"):
            high, position = _char(text, position + 1)
        found.append(_range(low, high))
    return (lambda char: any(each(char) for each in found) != negated), position + 1


def _char(text: str, position: int) -> tuple[str, int]:
    if text[position : position + 1] == "\\":
        position += 1
    if position >= len(text):
        raise InvalidPattern("its [ has no ]")
    return text[position], position + 1


def _range(low: str, high: str) -> Token:
    return lambda char: low <= char <= high
