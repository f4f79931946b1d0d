"""Which files this process has open. What else it has open (of other tests, of libraries) is nobody's business."""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from opstore_daemon.savers.folder_identity import LOCK


def open_below(folder: Path) -> list[str]:
    """Return the paths below the folder that this process has open, deleted files included; none without /proc.

    The lock of a saver, which stays open with its server, is not among them.
    """
    found = []
    for descriptor in Path("/proc/self/fd").iterdir() if os.path.isdir("/proc/self/fd") else ():
        with suppress(FileNotFoundError):  # closed meanwhile
            path = os.readlink(descriptor)
            if path.startswith(f"{folder}/") and Path(path).name != LOCK:
                found.append(path)
    return found


def closing(*descriptors: int) -> Callable[[], None]:
    """Return a function that closes these descriptors, for a process that starts without them."""

    def close() -> None:
        for descriptor in descriptors:
            os.close(descriptor)

    return close


class OpenFiles:
    """The descriptors that `os.open` has returned and `os.close` has not closed, and the most there were at a time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now: set[int] = set()
        self.most = 0
        really_open, really_close = os.open, os.close

        def opening(*arguments: Any, **options: Any) -> int:
            self.now.add(descriptor := really_open(*arguments, **options))
            self.most = max(self.most, len(self.now))
            return descriptor

        def closing(descriptor: int) -> None:
            self.now.discard(descriptor)
            really_close(descriptor)

        monkeypatch.setattr(os, "open", opening)
        monkeypatch.setattr(os, "close", closing)
