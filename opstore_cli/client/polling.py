"""Polling of a verdict, every few seconds and by etag, so that it costs the daemon next to nothing."""

import random
import time
from collections.abc import Callable

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.records import Validation

MIN_INTERVAL, MAX_INTERVAL = 1.0, 5.0  # seconds between two requests; the jitter spreads out many clients

Fetch = Callable[[str | None], tuple[Validation | None, str | None]]


def until_known(fetch: Fetch, seconds: float, notify: Callable[[Validation], object]) -> Validation:
    """Poll until the verdict is valid or known to be invalid, or `seconds` have passed, and return it.

    `fetch` is called with the etag of the last response, and returns None and the etag if nothing has changed. `notify`
    is called with each new verdict. Unavailable and the errors of the family `Unreachable` are raised only after
    `seconds`, TlsFailed and any other error immediately.
    """
    deadline = time.monotonic() + seconds
    found: Validation | None = None
    etag: str | None = None
    while True:
        failure: errors.OpStoreError | None = None
        try:
            verdict, etag = fetch(etag)
            if verdict is not None and verdict != found:
                found = verdict
                notify(verdict)
        except errors.TlsFailed:
            raise
        except (errors.Unreachable, errors.Unavailable) as error:
            failure, etag = error, None
        if failure is None and found is not None and is_known(found):
            return found
        left = deadline - time.monotonic()
        if left <= 0:
            if failure is not None:
                raise failure
            assert found is not None, "without an etag there is always a verdict"  # noqa: S101
            return found
        time.sleep(min(random.uniform(MIN_INTERVAL, MAX_INTERVAL), left))  # noqa: S311 - jitter


def is_known(validation: Validation) -> bool:
    """Return whether waiting is over: the verdict is valid, or a link or a run that counts says that it is not."""
    if validation.verdict == "valid" or any(edge.basis == "known-invalid" for edge in validation.edges):
        return True
    return validation.exact_set is not None and validation.exact_set.verdict == "invalid"
