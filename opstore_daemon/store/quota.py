"""How many rows of a kind each token may have: a number that no client reaches unless something is wrong with it."""

import time
from collections.abc import Callable

from sqlalchemy import Connection

from opstore_daemon.protocol import errors

BLOCK = 1000  # rows that an owner may add between two counts: to count at each one would take linear time
RECOUNT = 10.0  # seconds between two counts for an owner who has all


class Quota:
    """The limit of one kind of rows. Call `take` under the lock of the database, before each row."""

    def __init__(self, limit: int, what: str, frees: str, count: Callable[[Connection, str], int]) -> None:
        """`what` names the rows and `frees` says what makes room, for the error; `count` counts those of an owner."""
        self._limit, self._what, self._frees, self._count = limit, what, frees, count
        self._left: dict[str, int] = {}  # by owner: rows until the next count
        self._full_at: dict[str, float] = {}

    def take(self, connection: Connection, owner: str) -> None:
        """Allow one more row; raise QuotaExceeded if the owner has as many as it may."""
        left = self._left.get(owner, 0) or self._room(connection, owner)
        if left <= 0:
            raise errors.QuotaExceeded(limit=self._limit, what=self._what, frees=self._frees)
        self._left[owner] = left - 1

    def _room(self, connection: Connection, owner: str) -> int:
        now = time.monotonic()
        if now - self._full_at.get(owner, float("-inf")) < RECOUNT:
            return 0
        room = min(BLOCK, self._limit - self._count(connection, owner))
        if room <= 0:
            self._full_at[owner] = now
        return room
