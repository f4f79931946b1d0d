"""Which entries of a folder are not pushed: patterns as in a .gitignore (https://git-scm.com/docs/gitignore)."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Self

from pathspec import GitIgnoreSpec
from pathspec.patterns.gitignore import GitIgnorePatternError
from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

from opstore_cli.files.text import NotText, read_text
from opstore_daemon.protocol import errors

IGNORE_FILE = ".opstoreignore"
MAX_PATTERN = 1024  # characters

GIT = ".git"  # the first pattern, which no user wrote


class InvalidPattern(ValueError):
    """The text is not a pattern; the message is the reason."""


class IgnoreRules:
    """The patterns for one folder: the last one that matches an entry decides.

    `.git` is ignored unless a pattern includes it again.
    """

    def __init__(self, lines: Iterable[str]) -> None:
        """Parse the patterns. Raises InvalidPattern."""
        self._lines = [GIT, *lines]
        self._spec = GitIgnoreSpec([_parse(line) for line in self._lines], backend="simple")

    @classmethod
    def of_folder(cls, folder: str, exclude: Sequence[str] = ()) -> Self:
        """Return the rules of its .opstoreignore and, after them, those of `exclude`.

        Raises FileRefused, which names the line of an invalid pattern, and InvalidRequest for one in `exclude`.
        """
        for pattern in exclude:
            try:
                _parse(pattern)
            except InvalidPattern as error:
                raise errors.InvalidRequest(reason=f"{pattern[:100]!r} is not a pattern to exclude: {error}") from None
        path = Path(folder, IGNORE_FILE)
        try:
            lines = read_text(path).splitlines() if os.path.lexists(path) else []
        except (OSError, NotText) as error:
            reason = errors.reason(error) if isinstance(error, OSError) else str(error)
            raise errors.FileRefused(path=str(path), reason=reason) from None
        for number, line in enumerate(lines, 1):
            try:
                _parse(line)
            except InvalidPattern as error:
                raise errors.FileRefused(path=str(path), reason=f"line {number} is not a pattern: {error}") from None
        return cls([*lines, *exclude])

    def deciding(self, path: bytes, is_folder: bool) -> str | None:
        """Return the pattern that ignores the entry at the path, which is relative to the folder; None if none does."""
        match = self._spec.check_file(os.fsdecode(path) + ("/" if is_folder else ""))
        return self._lines[match.index] if match.include and match.index is not None else None


def _parse(line: str) -> GitIgnoreSpecPattern:
    """Return the pattern of the line, which matches nothing if it is blank or a comment. Raises InvalidPattern."""
    if len(line) > MAX_PATTERN:
        raise InvalidPattern(f"it has more than {MAX_PATTERN} characters")
    if "[[:" in line:
        raise InvalidPattern("classes such as [[:digit:]] are not supported: write [0-9]")
    try:
        pattern = GitIgnoreSpecPattern(line)
    except GitIgnorePatternError:
        raise InvalidPattern("it ends in a backslash or names nothing") from None
    if pattern.regex is None and line.strip() and not line.startswith("#"):
        raise InvalidPattern("it matches nothing")
    return pattern
