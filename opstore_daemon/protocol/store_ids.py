"""The id that a database and its blobs share."""

import hashlib
import re

_STORE_ID = re.compile(r"[0-9a-f]{32}")


def is_store_id(text: str) -> bool:
    """Return whether the text is a store id: 32 lower-case hex digits."""
    return _STORE_ID.fullmatch(text) is not None


def unfinished_id(store_id: str) -> str:
    """Return the id that blobs carry while a migration of that store puts them there: no daemon starts with them."""
    return hashlib.sha256(f"an unfinished migration of {store_id}".encode()).hexdigest()[:32]
