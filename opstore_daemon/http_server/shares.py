"""How many connections there may be, how many of them without a token, and which ones make room for others."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

MAX_CONNECTIONS = 640
MIN_CONNECTIONS = 4
GRACE = 0.1  # seconds that a new connection has to send its first head before it makes room for others
ACCEPTS = 16  # connections that are accepted in one turn of the loop
MAX_UNREAD = 64 * 1024 * 1024  # bytes of all responses in memory that clients have not read yet

# Open files: each connection may also have a blob or the file of a body open. The rest is for the database, the log,
# and uploads, of which MAX_OPEN may be open (store.ingest.uploads).
FILES_OF_DAEMON = 48
FILES_OF_UPLOADS = 256
FILES = 2 * MAX_CONNECTIONS + FILES_OF_DAEMON + FILES_OF_UPLOADS  # for all of that


class Connection(Protocol):
    """What is known of a connection. Times are those of one clock, in seconds."""

    authenticated: bool
    opened_at: float
    active_at: float
    buffered: int
    requests: Sequence[object]  # that a thread runs

    @property
    def idle(self) -> bool:
        """Whether no request is being received, run or answered."""


C = TypeVar("C", bound=Connection)


@dataclass(frozen=True)
class Shares:
    """The bounds of one listener: `connections` in total, of which a quarter is for clients without a token.

    If there may be few, it is half of them, up to four.
    """

    connections: int = MAX_CONNECTIONS

    @property
    def anonymous(self) -> int:
        """How many connections there may be on which no request has had a valid token yet."""
        return max(min(4, self.connections // 2), self.connections // 4)

    @property
    def authenticated(self) -> int:
        """How many connections there may be on which a request had one: the others take none of these."""
        return self.connections - self.anonymous

    def room(self, connections: Iterable[C]) -> int:
        """Return how many connections to accept now: none if there are too many that are too new to be closed."""
        beyond = max(1, min(ACCEPTS, self.anonymous // 4))
        anonymous, _ = _split(connections)
        return max(0, min(ACCEPTS, self.anonymous + beyond - len(anonymous)))

    def excess(self, connections: Sequence[C], now: float) -> list[C]:
        """Return the connections to close because there are too many; never one whose request runs.

        Of those without a token they are the oldest, unless they are too new. Of the others they are those that have
        been idle the longest, then those whose clients have sent and read nothing for the longest time.
        """
        if len(connections) <= min(self.anonymous, self.authenticated):
            return []  # the usual case, in each turn of the loop
        anonymous, authenticated = _split(connections)
        old = [each for each in anonymous if now - each.opened_at >= GRACE]
        return [
            *_first(old, len(anonymous) - self.anonymous, lambda each: each.opened_at),
            *_first(authenticated, len(authenticated) - self.authenticated, _least_wanted),
        ]


def least_wanted(connections: Iterable[C]) -> list[C]:
    """Return the one connection to close first if the daemon runs out of open files; none if all are needed."""
    anonymous, authenticated = _split(connections)
    idle = [each for each in authenticated if each.idle]
    return _first(anonymous, 1, lambda each: each.opened_at) or _first(idle, 1, _least_wanted)


def unread(connections: Iterable[C], limit: int = MAX_UNREAD) -> list[C]:
    """Return the connections to close because their clients leave too much unread: those that waited the longest."""
    waiting = [each for each in connections if each.buffered and not each.requests]
    held = sum(each.buffered for each in waiting)
    closed = []
    for each in sorted(waiting, key=lambda each: each.active_at):
        if held <= limit:
            break
        held -= each.buffered
        closed.append(each)
    return closed


def connections_for(files: int) -> int:
    """Return how many connections a process may have that may open `files` files."""
    spare = max(FILES_OF_DAEMON, min(FILES_OF_DAEMON + FILES_OF_UPLOADS, files // 2))
    return max(MIN_CONNECTIONS, min(MAX_CONNECTIONS, (files - spare) // 2))


def uploads_for(files: int) -> int:
    """Return how many uploads a process may keep open that may open `files` files."""
    return max(MIN_CONNECTIONS, min(FILES_OF_UPLOADS, files // 2 - FILES_OF_DAEMON))


def _split(connections: Iterable[C]) -> tuple[list[C], list[C]]:
    both: tuple[list[C], list[C]] = ([], [])
    for each in connections:
        both[each.authenticated].append(each)
    return both


def _first(connections: list[C], count: int, order: Callable[[C], object]) -> list[C]:
    if count <= 0:
        return []
    return sorted((each for each in connections if not each.requests), key=order)[:count]  # type: ignore[arg-type]


def _least_wanted(connection: Connection) -> tuple[bool, float]:
    return not connection.idle, connection.active_at
