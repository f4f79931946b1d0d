"""The form of the id that a database and its blobs share."""

import re

_STORE_ID = re.compile(r"[0-9a-f]{32}")


def is_store_id(text: str) -> bool:
    """Return whether the text is a store id: 32 lower-case hex digits."""
    return _STORE_ID.fullmatch(text) is not None
