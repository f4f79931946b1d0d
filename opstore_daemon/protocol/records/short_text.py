"""Values of records as short texts on one line, without control characters: other people wrote some of them."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from opstore_daemon.protocol.reference_text import format_reference

MAX_TEXT = 80  # characters
_DIGITS = 8  # of a digest; a reference takes as few
_HASH = re.compile(r"[0-9a-f]{40,}", re.ASCII)


def one_line(text: str, limit: int = MAX_TEXT) -> str:
    """Return the text without control characters, shortened to `limit` characters."""
    printable = "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text[: limit + 1])
    return printable if len(printable) <= limit else printable[: limit - 1] + "\N{HORIZONTAL ELLIPSIS}"


def short_text(value: object, limit: int = MAX_TEXT) -> str:
    """Return a value as a text of at most `limit` characters on one line."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    if isinstance(value, str) and value.startswith("sha256:"):
        return value[: len("sha256:") + _DIGITS]
    if isinstance(value, str) and _HASH.fullmatch(value):
        return value[:_DIGITS]
    if isinstance(value, Mapping):
        items = (f"-{key}" if each is None else f"{key}={each}" for key, each in value.items())
        return one_line(", ".join(items), limit)
    if isinstance(value, tuple | list):
        items = ("->".join(map(str, each)) if isinstance(each, tuple) else short_text(each) for each in value)
        return one_line(" ".join(items), limit)
    return one_line(str(value), limit)


def counted(count: int, noun: str) -> str:
    """Return `1 edge`, `2 edges`; the noun is in the plural."""
    return f"{count} {noun.removesuffix('s') if count == 1 else noun}"


def identity(record: Any) -> str:
    """Return what a record is about: `pca@1.0.0`, `pca@1.0.0 -> forest@2.0.0`, or an empty text."""
    if hasattr(record, "downstream"):
        ends = (
            (record.upstream, getattr(record, "upstream_version", None)),
            (record.downstream, getattr(record, "downstream_version", None)),
        )
        return " -> ".join(format_reference(str(op), number) for op, number in ends)
    if hasattr(record, "op"):
        return format_reference(record.op, getattr(record, "version", None))
    return short_text(record.version) if hasattr(record, "version") else ""


def is_default(record: Any, name: str, value: object) -> bool:
    """Return whether a field of a record has the value that says nothing: none, or its default."""
    if value is None or value == () or value == {}:
        return True
    defaults = dict(zip(reversed(record.__struct_fields__), reversed(record.__struct_defaults__), strict=False))
    return name in defaults and value is defaults[name]
