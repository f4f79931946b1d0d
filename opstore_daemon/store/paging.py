"""Pages of rows: how many there may be, and where the next page begins."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from opstore_daemon.protocol import errors

NO_LIMIT = 2**62  # rows: more than a database can have

T = TypeVar("T")


def check_limit(limit: int | None) -> int:
    """Return the limit, or NO_LIMIT for None; raise InvalidRequest if it is less than 1."""
    if limit is None:
        return NO_LIMIT
    if limit < 1:
        raise errors.InvalidRequest(reason="the limit must be at least 1")
    return limit


def collect(fetch: Callable[[int | None, int], tuple[Sequence[T], str | None]], limit: int) -> list[T]:
    """Return at most `limit` rows of pages that are ordered by falling positions.

    `fetch` returns the page below a position, of at most that many rows, and the cursor of its last row.
    """
    found: list[T] = []
    below: int | None = None
    while len(found) < limit:
        rows, cursor = fetch(below, limit - len(found))
        found += rows
        if cursor is None:
            break
        below = int(cursor)
    return found


def next_cursor(page: Sequence[T], limit: int, cursor: Callable[[T], str]) -> str | None:
    """Return the cursor of the page's last row; None if the page is shorter than the limit, so that no row follows."""
    return cursor(page[-1]) if len(page) == limit else None
