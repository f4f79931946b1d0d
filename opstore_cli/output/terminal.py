"""Detect whether a stream is a terminal, and what the terminal supports."""

import os
from typing import Any


def is_terminal(stream: Any) -> bool:
    """Return whether the stream is a terminal."""
    try:
        return bool(stream.isatty())
    except (AttributeError, ValueError):  # the stream is None or closed
        return False


def is_dumb() -> bool:
    """Return whether the terminal understands no escape sequences."""
    return os.environ.get("TERM", "dumb") in ("", "dumb", "unknown")


def is_colored() -> bool:
    """Return whether a terminal gets colours: it understands them, and NO_COLOR is not set."""
    return not os.environ.get("NO_COLOR") and (os.name == "nt" or not is_dumb())
