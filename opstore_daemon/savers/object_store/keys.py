"""The keys of the objects: PREFIX/objects/ab/<32 random hex digits>, PREFIX/store-id and PREFIX/position."""

import re
import uuid

STORE_ID, POSITION = "store-id", "position"
OBJECTS = "objects/"
PARTS = tuple(f"{number:02x}" for number in range(256))
"""The first two digits of all keys."""

_KEY = re.compile(r"[0-9a-f]{32}")


def new_key() -> str:
    """Return a key that nobody has used, as the records have it."""
    return uuid.uuid4().hex


def is_key(text: str) -> bool:
    """Return whether the text is a key, as the records have it."""
    return _KEY.fullmatch(text) is not None


def object_name(key: str) -> str:
    """Return the name of the object in the bucket, without the prefix of the store."""
    return f"{OBJECTS}{key[:2]}/{key}"


def key_of(name: str) -> str | None:
    """Return the key of the object with that name (without the prefix of the store); None if it has none."""
    key = name.rpartition("/")[2]
    return key if is_key(key) and name == object_name(key) else None
