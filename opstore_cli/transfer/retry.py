"""How often, and how soon, a transfer that broke off is taken up again."""

import random
import time

from opstore_daemon.protocol import errors

WAITS = (0.0, 0.25, 0.5, 1.0, 2.0)  # seconds before each try that follows one without progress

# What a transfer may meet and go on after, once it has asked where it stands.
INTERRUPTIONS = (
    errors.Unreachable,
    errors.ProofFailed,  # the local daemon has gone, and a stranger has its port: it is found again
    errors.NotReady,
    errors.OffsetMismatch,
    errors.UploadNotOpen,
)


class Patience:
    """Ends after as many tries in a row without progress as there are waits."""

    def __init__(self, offset: int) -> None:
        self._best = offset
        self._tries = 0

    def got_to(self, offset: int) -> bool:
        """Whether that is further than ever before; then all tries are there again."""
        if offset <= self._best:
            return False
        self._best, self._tries = offset, 0
        return True

    def wait(self, failure: errors.OpStoreError) -> None:
        """Waits before the next try; raises the failure where it was the last one."""
        if self._tries == len(WAITS):
            raise failure
        pause = WAITS[self._tries]
        self._tries += 1
        time.sleep(pause + random.uniform(0, pause / 2))  # noqa: S311 - spreads out many clients
