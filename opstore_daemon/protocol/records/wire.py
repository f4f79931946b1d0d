"""Records as JSON, read more strictly than msgspec does, and fingerprints of requests."""

import hashlib
import json
import threading
from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.checked_text import CheckedText
from opstore_daemon.protocol.records.patterns import in_words
from opstore_daemon.protocol.versions import Version

MAX_DEPTH = 16
MAX_DIGITS = 4300

T = TypeVar("T")
_DECODERS: dict[type, msgspec.json.Decoder[Any]] = {}
_DECODERS_LOCK = threading.Lock()


def fingerprint(parts: Sequence[bytes]) -> str:
    """Return the SHA-256, in hex, of unambiguously separated parts."""
    seen = hashlib.sha256()
    for part in parts:
        seen.update(len(part).to_bytes(8, "big") + part)
    return seen.hexdigest()


def encode(value: Any) -> bytes:
    """Return the record, or any other value that JSON can represent, as JSON."""
    return msgspec.json.encode(value, enc_hook=to_text)


def in_ascii(record: msgspec.Struct) -> str:
    """Return the record as one line of JSON in ASCII, for a header."""
    return json.dumps(msgspec.to_builtins(record, enc_hook=to_text), separators=(",", ":"))


def to_text(value: object) -> str:
    """Return the text of a typed value; msgspec knows only exact strings."""
    if isinstance(value, Version):
        return value.text_with_time
    if isinstance(value, CheckedText):
        return str(value)
    raise TypeError(f"{type(value).__name__} can't be encoded as JSON")


def json_schema(kind: type) -> dict[str, Any]:
    """Return the JSON schema of a typed value, for msgspec's `schema_hook`."""
    return {"type": "string", "pattern": kind.PATTERN}  # type: ignore[attr-defined]


def parse(kind: type, value: object) -> Any:
    """Parse the text as a value of the type; for msgspec's `dec_hook`, which adds the location to a ValueError."""
    if not isinstance(value, str):
        raise ValueError(f"Expected `str`, got `{type(value).__name__}`")
    return kind.parse(value)  # type: ignore[attr-defined]


def decoder(kind: type[T]) -> msgspec.json.Decoder[T]:
    """Return the decoder of the record, which any thread may use.

    One thread at a time creates decoders: msgspec 0.22 crashes if two threads inspect a new type simultaneously.
    """
    known = _DECODERS.get(kind)
    if known is None:
        with _DECODERS_LOCK:
            known = _DECODERS.setdefault(kind, msgspec.json.Decoder(kind, dec_hook=parse))
    return known


def decode(body: bytes | bytearray | memoryview, kind: type[T]) -> T:
    """Decode the record; raise InvalidRequest with the location and the reason.

    Stricter than msgspec: refuses deep nesting and duplicate keys (of which msgspec takes the last).
    """
    try:
        record = decoder(kind).decode(body)
        _check_shape(json.loads(bytes(body), object_pairs_hook=_Pairs, parse_int=_check_number))
    except (msgspec.DecodeError, ValueError) as error:
        raise errors.InvalidRequest(reason=in_words(str(error))[:500]) from None
    except RecursionError:
        raise errors.InvalidRequest(reason="the JSON is nested too deep") from None
    return record


class _Pairs(list[tuple[str, Any]]):
    """An object as the json module parsed it, with all its keys."""


def _check_number(digits: str) -> int:
    # Not int(): for many digits its error advises a setting of Python. msgspec has the value.
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"a number has more than {MAX_DIGITS} digits")
    return 0


def _check_shape(value: Any, depth: int = 0) -> None:
    if depth > MAX_DEPTH:
        raise ValueError("the JSON is nested too deep")
    if isinstance(value, _Pairs):
        seen: set[str] = set()
        for key, _ in value:
            if key in seen:
                raise ValueError(f"duplicate key {key!r}")
            seen.add(key)
        value = [inner for _, inner in value]
    if isinstance(value, list):
        for inner in value:
            _check_shape(inner, depth + 1)
