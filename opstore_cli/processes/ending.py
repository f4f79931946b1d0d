"""End a process, which may not want to."""

import contextlib
import subprocess
from collections.abc import Callable

GRACE = 5.0  # seconds that a process has to end after a signal, before the next stronger one


def end(
    process: "subprocess.Popen[bytes]",
    terminate: Callable[[], object],
    kill: Callable[[], object],
    *,
    has_signal: bool,
) -> None:
    """End the process: ask it to, unless it `has_signal` already, ask it (again), then kill it."""
    steps: list[Callable[[], object]] = [lambda: None] if has_signal else [terminate]
    for step in (*steps, terminate, kill):
        step()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE)
            return
