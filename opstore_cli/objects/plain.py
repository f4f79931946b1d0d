"""The formats `bytes` and `json`, which restore data exactly or refuse it."""

import json
import math
from typing import Any, BinaryIO

from opstore_cli.objects.format import Format, Trusted, Unfit, type_name

_TOO_MANY_DIGITS = "a number in it has more than 4300 digits"


def _dump_bytes(obj: Any, file: BinaryIO) -> set[str]:
    if not isinstance(obj, bytes | bytearray | memoryview):
        raise Unfit(f"it is a {type_name(type(obj))}")
    file.write(obj.tobytes() if isinstance(obj, memoryview) else obj)  # a view may skip some bytes
    return set()


def _load_bytes(file: BinaryIO, _trusted: Trusted) -> bytes:
    return file.read()


def why_not_json(obj: object) -> str | None:
    """Return why JSON would not restore the object exactly (the first reason, and where), or None if it would."""
    try:
        return _reason(obj, "")
    except RecursionError:
        return "it is nested too deeply, or contains itself"


def _reason(value: Any, place: str) -> str | None:
    # Exact types: a subclass (numpy.float64 is a float) would be restored as its base class.
    kind = type(value)
    if kind in (str, bool, int) or value is None or (kind is float and math.isfinite(value)):
        return None
    if kind is list:
        parts = (_reason(inner, f"{place}[{number}]") for number, inner in enumerate(value))
    elif kind is dict:
        parts = (_reason_of_pair(key, inner, place) for key, inner in value.items())
    else:
        return f"{_at(place)} is {value if kind is float else f'a {type_name(kind)}'}"
    return next((reason for reason in parts if reason is not None), None)


def _reason_of_pair(key: Any, value: Any, place: str) -> str | None:
    if type(key) is not str:
        return f"{_at(place)} has a key that is not a string: {key!r:.100}"
    return _reason(value, f"{place}[{key!r:.100}]")


def _at(place: str) -> str:
    return f"its {place}" if place else "it"


def _dump_json(obj: Any, file: BinaryIO) -> set[str]:
    if reason := why_not_json(obj):
        raise Unfit(f"JSON would not restore it exactly: {reason}")
    # In pieces, so that the whole text is never in memory. encode() refuses half of a surrogate pair.
    try:
        for piece in json.JSONEncoder(ensure_ascii=False, allow_nan=False).iterencode(obj):
            file.write(piece.encode())
    except UnicodeError:
        raise
    except ValueError:  # of int.__repr__, whose words are about a setting of Python
        raise Unfit(_TOO_MANY_DIGITS) from None
    return set()


def _load_json(file: BinaryIO, _trusted: Trusted) -> Any:
    try:
        return json.load(file)
    except RecursionError:
        raise Unfit("it is nested too deeply") from None
    except (json.JSONDecodeError, UnicodeError):
        raise
    except ValueError:  # of int()
        raise Unfit(_TOO_MANY_DIGITS) from None


BYTES = Format("bytes", "bytes", _dump_bytes, _load_bytes, fits=lambda obj: type(obj) is bytes)
JSON = Format(
    "json",
    "texts, finite numbers, booleans, None, and lists and dicts of them",
    _dump_json,
    _load_json,
    fits=lambda obj: why_not_json(obj) is None,
)
