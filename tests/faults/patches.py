"""Faults within the process, for systems without strace: in calls of `os`, and kills before statements of SQLite."""

import errno
import os
import signal
import sqlite3
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from tests.faults.points import KILL, STATEMENT
from tests.support.faults import CALLS

# Those of the saver, and those of the files beside the database and of backups.
_CALLS = (*CALLS, "write", "replace", "posix_fallocate", "copy_file_range", "rmdir", "chmod")


@dataclass
class Patches:
    """Count calls and statements; `fault` is the name, the number of the call, and `KILL` or the name of an errno."""

    fault: tuple[str, int, str] | None
    calls: list[tuple[str, int, str]] = field(default_factory=list)
    """Name, number, and the name of the file if the call has it."""
    _counts: Counter[str] = field(default_factory=Counter)
    _has_begun: bool = False

    def install(self) -> None:
        """Replace the calls in this process, for good."""
        for name in filter(partial(hasattr, os), _CALLS):
            setattr(os, name, self._counted(name, getattr(os, name)))
        connect = sqlite3.connect

        def connect_traced(*args: Any, **kwargs: Any) -> sqlite3.Connection:
            connection: sqlite3.Connection = connect(*args, **kwargs)
            connection.set_trace_callback(lambda _statement: self._called(STATEMENT))
            return connection

        sqlite3.connect = sqlite3.dbapi2.connect = connect_traced  # type: ignore[assignment]

    def begin(self) -> None:
        """Count from now on."""
        self._has_begun = True

    def _counted(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **kwargs: Any) -> Any:
            file = os.path.basename(args[0]) if isinstance(args[0], str | os.PathLike) else ""
            self._called(name, file)
            return call(*args, **kwargs)

        return counted

    def _called(self, name: str, file: str = "") -> None:
        if not self._has_begun:
            return
        self._counts[name] += 1
        self.calls.append((name, self._counts[name], file))
        if self.fault is None or (name, self._counts[name]) != self.fault[:2]:
            return
        if self.fault[2] == KILL:
            os.kill(os.getpid(), signal.SIGKILL)
        number = getattr(errno, self.fault[2])
        raise OSError(number, os.strerror(number))
