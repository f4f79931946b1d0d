"""Names of ops and pipelines (docs/words.md). Tags: see `references.TagName`."""

import re

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.checked_text import CheckedText

RULE = "a name is 1 to 128 of a-z 0-9 . _ -, starts and ends with a-z or 0-9, and has no two dots in a row"
# Windows opens a device for these, whatever follows the first dot (Microsoft, "Naming Files, Paths, and Namespaces").
# No path is made from a name here, but people save what they pull under it.
_DEVICE = "(?:con|prn|aux|nul|com[0-9]|lpt[0-9])"
FORM = rf"(?!{_DEVICE}(?:[.@]|$))(?![^@]*\.\.)[a-z0-9](?:[a-z0-9._-]{{0,126}}[a-z0-9])?"
# A bare `$` would let a line feed at the end pass in Python, but not in ECMA-262.
_PATTERN = rf"^{FORM}(?![\s\S])"
_LEGAL = re.compile(_PATTERN)


class Name(CheckedText):
    """A legal name. Ops and pipelines have types of their own, so that one can't be passed as the other."""

    __slots__ = ()

    PATTERN = _PATTERN

    @classmethod
    def check(cls, text: str) -> None:
        """Raise InvalidName, with the rule and the name to use if that is obvious, unless the text is a legal name."""
        if is_name(text):
            return
        rule = RULE
        if is_device(text):
            rule = f"{text.split('.', 1)[0].lower()} is the name of a device on Windows"
        suggestion = suggest_name(text.partition("@")[0])  # a reference, where only a name is expected
        advice = f"use {suggestion}" if suggestion else ""
        raise errors.InvalidName(name=text[:200], rule=rule, suggestion=advice)


class OpName(Name):
    """The name of an op."""

    __slots__ = ()


class PipelineName(Name):
    """The name of a pipeline."""

    __slots__ = ()


def is_name(text: str) -> bool:
    """Return whether the text is a legal name."""
    return _LEGAL.match(text) is not None


def is_device(text: str) -> bool:
    """Return whether Windows opens a device for the name, whatever follows its first dot."""
    return re.fullmatch(_DEVICE, text.split(".", 1)[0].lower()) is not None


def suggest_name(text: str) -> str | None:
    """Return the obvious legal name for what was meant (`RandomForest` -> `random_forest`), or None."""
    if len(text) > 128 or not text.isascii() or not text.isprintable() or "/" in text or "\\" in text:
        return None
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", text.strip())
    name = re.sub(r"\s+", "_", words).lower()
    return name if is_name(name) else None
