"""When to retry a transfer whose connection was lost, and when to give up."""

import random
import time

from opstore_daemon.protocol import errors

WAITS = (0.0, 0.25, 0.5, 1.0, 2.0)  # seconds before each retry that follows one without progress

# After one of these errors, a transfer finds out its offset and resumes from there.
RETRYABLE = (
    errors.Unreachable,
    errors.ProofFailed,  # the local daemon ended, and another program has its port: the retry finds the daemon again
    errors.NotReady,
    errors.OffsetMismatch,
    errors.UploadNotOpen,
    errors.TooManyReads,
)

# The same for an upload: what the daemon has not stored is sent again, perhaps to another daemon.
RETRYABLE_UPLOAD = (*RETRYABLE, errors.StorageFailed, errors.DatabaseFailed, errors.NotVerified)


class RetryBudget:
    """Allows len(WAITS) retries in a row without progress.

    A daemon that verifies an upload makes progress as long as it has read more bytes of it (NotVerified).
    """

    def __init__(self, offset: int) -> None:
        self._furthest = offset
        self._retries = 0
        self._verified = 0

    def progressed_to(self, offset: int) -> bool:
        """Return whether `offset` is a new maximum, and restore all retries if so."""
        if offset <= self._furthest:
            return False
        self._furthest, self._retries = offset, 0
        return True

    def wait(self, failure: Exception) -> None:
        """Sleep before the next retry; raises `failure` if none is left, or if it would only fail again."""
        verified = failure.details.get("verified") if isinstance(failure, errors.NotVerified) else None
        if isinstance(verified, int) and verified > self._verified:
            self._verified, self._retries = verified, 0
        if self._retries == len(WAITS) or isinstance(failure, errors.TlsFailed | errors.TlsRequired):
            raise failure
        pause = WAITS[self._retries]
        self._retries += 1
        time.sleep(pause + random.uniform(0, pause / 2))  # noqa: S311 - spreads out the retries of many clients
