"""A check of the database itself, which fsck runs: what it does differs between SQLite and PostgreSQL."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from sqlalchemy import Connection


class Damage(NamedTuple):
    """What is wrong: with the database as a whole, or with a row that refers to one that does not exist."""

    kind: Literal["database", "reference"]
    what: str
    observed: str


@dataclass(frozen=True, slots=True)
class Check:
    """A check. `what` is the part that it reads, in words; `read` returns what is wrong with it.

    It takes long: `BaseDatabase.interrupt` ends it.
    """

    what: str
    read: Callable[[Connection], Sequence[Damage]]


MOST = 100  # problems of each kind that are reported
