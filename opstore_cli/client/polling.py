"""Waits for a verdict: asks again every few seconds, so that waiters cost the daemon next to nothing."""

import random
import time
from collections.abc import Callable

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.records import Validation

SHORTEST, LONGEST = 1.0, 5.0  # seconds between two questions; the jitter spreads out many waiters

Ask = Callable[[str | None], tuple[Validation | None, str]]


def until_known(ask: Ask, seconds: float, notify: Callable[[Validation], object]) -> Validation:
    """The verdict once it is valid, or known to be invalid, or what it is when the time is over.

    `ask` gets the etag of the last answer and returns None where nothing has changed. What is not there, or refused, is
    raised at once; a daemon that can't be reached or can't answer only when the time is over.
    """
    deadline = time.monotonic() + seconds
    found: Validation | None = None
    etag: str | None = None
    while True:
        failure: errors.OpStoreError | None = None
        try:
            answer, etag = ask(etag)
            if answer is not None and answer != found:
                found = answer
                notify(answer)
        except (errors.Unreachable, errors.Unavailable) as error:
            failure, etag = error, None
        if failure is None and found is not None and is_known(found):
            return found
        left = deadline - time.monotonic()
        if left <= 0:
            if failure is not None:
                raise failure
            assert found is not None, "without an etag there is always an answer"  # noqa: S101
            return found
        time.sleep(min(random.uniform(SHORTEST, LONGEST), left))  # noqa: S311 - spreads out many waiters


def is_known(validation: Validation) -> bool:
    """Whether waiting can't change it: it is valid, or an entry says that an edge is invalid."""
    return validation.verdict == "valid" or any(
        edge.verdict == "invalid" and edge.by_entry for edge in validation.edges
    )
