"""The outcome of a command or a function that ran on a set of versions."""

from dataclasses import dataclass

from opstore_daemon.protocol.records import RunResult


class CantTell(Exception):
    """Raised by a function that `client.verify()` calls, if it can't tell whether the versions are valid together."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a run, and the reason in words.

    `exit_code` is below 0 for the signal that killed the command, and None for a function, or a command that was not
    awaited to its end. `is_final`: another repetition would show nothing more.
    """

    result: RunResult
    reason: str
    exit_code: int | None = None
    is_final: bool = False
