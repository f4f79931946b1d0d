"""A collection once a day, by itself, while the daemon has nothing else to do.

The time of the last one is in a file of the home, so that a daemon that runs for minutes a day collects as well. Only
the schedule depends on the clock: if that jumps, a collection runs earlier or later, and what it takes is the same.
"""

import logging
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.records import Collection
from opstore_daemon.protocol.records.collections import DEFAULT_GRACE
from opstore_daemon.protocol.records.short_text import counted
from opstore_daemon.protocol.sizes import format_size
from opstore_daemon.store.maintenance.collector import Collector
from opstore_daemon.store.places import never
from opstore_daemon.system.files import read_regular, write_atomically

log = logging.getLogger("opstore.gc")

INTERVAL = 24 * 3600.0  # seconds between two collections
IDLE = 5.0  # seconds without a request before one begins
BUSY_FOR = 24 * 3600.0  # seconds that it waits for that
HELD = 3600.0  # seconds until the next attempt if a backup held it off
PAUSE = 0.001  # seconds between two steps


class DailyCollection:
    """Collects once a day in a thread of its own. Call `tick` about once a second, and `stop` at the end."""

    def __init__(
        self,
        collector: Collector,
        last_run: Path | None,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`last_run` is the file with the time of the last one; a new file counts from now. None: never collect."""
        self._collector, self._file, self._clock, self._monotonic = collector, last_run, clock, monotonic
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._held_until = 0.0
        self._last = self._clock()
        if last_run is not None:
            self._last = self._read(last_run) or self._record(last_run)

    def tick(self, idle_for: float) -> None:
        """Begin a collection if one is due. `idle_for`: the seconds since the last request."""
        if self._file is None or (self._thread is not None and self._thread.is_alive()):
            return
        since = abs(self._clock() - self._last)  # in either direction: the clock may have been ahead
        if since < INTERVAL or (idle_for < IDLE and since < INTERVAL + BUSY_FOR):
            return
        if self._monotonic() >= self._held_until and not self._stopping.is_set():
            self._thread = threading.Thread(target=self._run, args=(self._file,), name="opstore-gc", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End a running collection after its current step, and begin no other."""
        self._stopping.set()
        self._collector.stop()
        if self._thread is not None:
            self._thread.join()

    def _run(self, last_run: Path) -> None:
        try:
            collected = self._collect()
        except errors.CollectionHeld as error:
            log.info("%s", error.text)
            self._held_until = self._monotonic() + HELD
            return
        except errors.CollectionRefused as error:
            log.debug("%s", error.text)
        except errors.OpStoreError as error:
            log.warning("the daily collection failed: %s", error.text)
        except Exception:
            log.exception("the daily collection failed")
        else:
            if not collected.complete:
                return  # the next daemon continues
            _report(collected)
        self._last = self._record(last_run)

    def _collect(self) -> Collection:
        running = self._collector.start(DEFAULT_GRACE, purge=False, dry_run=False, is_cancelled=never)
        with closing(running):
            for collected in running:
                if collected is not None:
                    return collected
                self._stopping.wait(PAUSE)  # requests go first
        raise AssertionError("a collection ends with its record")

    def _read(self, last_run: Path) -> float | None:
        """Return the time in the file, in seconds since the epoch; None if it has none."""
        try:
            return datetime.fromisoformat(read_regular(last_run, 100).decode("ascii").strip()).timestamp()
        except (OSError, ValueError, OverflowError):
            return None

    def _record(self, last_run: Path) -> float:
        """Write the time to the file, and return it."""
        now = self._clock()
        with suppress(OSError, ValueError, OverflowError):  # a full disk: this process knows it
            text = datetime.fromtimestamp(now, UTC).isoformat(timespec="seconds")
            write_atomically(last_run, f"{text}\n".encode(), durable=False)
        return now


def _report(collected: Collection) -> None:
    log.info(
        "collected garbage: freed %s; moved %s (%s) to the trash, which has %d (%s)",
        format_size(collected.freed),
        counted(collected.garbage, "blobs"),
        format_size(collected.garbage_size),
        collected.trash,
        format_size(collected.trash_size),
    )
    if collected.problems:
        log.warning("the daily collection left garbage: %s", "; ".join(collected.problems))
