"""Waiting for what another process or thread does. Nothing sleeps for a fixed time."""

import time
from collections.abc import Callable

WITHIN = 60.0  # seconds, for what takes milliseconds; only a failure takes as long


def wait_for(condition: Callable[[], object], what: str = "it", seconds: float = WITHIN) -> None:
    """Poll until the condition holds; fail if it never does."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {seconds:.0f} s"
        time.sleep(0.005)
