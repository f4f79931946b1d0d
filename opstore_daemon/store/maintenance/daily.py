"""A collection once a day, by itself, while the daemon has nothing else to do.

The time of the last one is in the database, so that a daemon that runs for minutes a day collects as well, and of
several daemons one. Only the schedule depends on the clock: if that jumps, a collection runs earlier or later, and what
it takes is the same.
"""

import logging
import threading
import time
from collections.abc import Callable
from contextlib import closing

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.records import Collection
from opstore_daemon.protocol.records.collections import DEFAULT_GRACE
from opstore_daemon.protocol.records.short_text import counted
from opstore_daemon.protocol.sizes import format_size
from opstore_daemon.store.maintenance.collector import Collector
from opstore_daemon.store.maintenance.schedule import CollectionSchedule
from opstore_daemon.store.places import never

log = logging.getLogger("opstore.gc")

INTERVAL = 24 * 3600.0  # seconds between two collections
IDLE = 5.0  # seconds without a request before one begins
BUSY_FOR = 24 * 3600.0  # seconds that it waits for that
HELD = 3600.0  # seconds until the next attempt, of any daemon, if a backup held it off or this daemon is killed
PAUSE = 0.001  # seconds between two steps


class DailyCollection:
    """Collects once a day in a thread of its own. Call `tick` about once a second, and `stop` at the end."""

    def __init__(
        self,
        collector: Collector,
        schedule: CollectionSchedule | None,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`schedule` has the time of the last one; None: never collect. Raises DatabaseFailed."""
        self._collector, self._schedule, self._clock, self._monotonic = collector, schedule, clock, monotonic
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._failed_until = 0.0
        self._last = 0.0 if schedule is None else schedule.last()

    def tick(self, idle_for: float) -> None:
        """Begin a collection if one is due, as far as this process knows. `idle_for`: seconds since the last request.

        The server's loop calls this: it never waits for the database.
        """
        if self._schedule is None or (self._thread is not None and self._thread.is_alive()):
            return
        if not self._is_due(self._last, idle_for) or self._monotonic() < self._failed_until:
            return
        if not self._stopping.is_set():
            arguments = (self._schedule, idle_for)
            self._thread = threading.Thread(target=self._run, args=arguments, name="opstore-gc", daemon=True)
            self._thread.start()

    def _is_due(self, last: float, idle_for: float) -> bool:
        since = abs(self._clock() - last)  # in either direction: the clock may have been ahead
        return since >= INTERVAL and (idle_for >= IDLE or since >= INTERVAL + BUSY_FOR)

    def stop(self) -> None:
        """End a running collection after its current step, and begin no other."""
        self._stopping.set()
        self._collector.stop()
        if self._thread is not None:
            self._thread.join()

    def _run(self, schedule: CollectionSchedule, idle_for: float) -> None:
        try:
            self._collect_if_due(schedule, idle_for)
        except errors.OpStoreError as error:  # of the schedule
            log.warning("the daily collection failed: %s", error.text)
            self._failed_until = self._monotonic() + HELD
        except Exception:
            log.exception("the daily collection failed")
            self._failed_until = self._monotonic() + HELD

    def _collect_if_due(self, schedule: CollectionSchedule, idle_for: float) -> None:
        before = self._last = schedule.last()
        if not self._is_due(before, idle_for):
            return  # another daemon has collected
        # Until it is done, the time says that the next attempt is due in an hour.
        held = self._clock() - INTERVAL + HELD
        if not schedule.replace(before, held):
            return  # another daemon begins at the same time
        self._last = held
        if self._collects():
            done = self._clock()
        elif self._stopping.is_set():
            done = before  # the next daemon continues
        else:
            return
        if schedule.replace(held, done):
            self._last = done

    def _collects(self) -> bool:
        """Collect; return whether that is all for today."""
        try:
            collected = self._collect()
        except errors.CollectionHeld as error:
            log.info("%s", error.text)
            return False
        except errors.CollectionRefused as error:
            log.debug("%s", error.text)
        except errors.OpStoreError as error:
            log.warning("the daily collection failed: %s", error.text)
        except Exception:
            log.exception("the daily collection failed")
        else:
            if not collected.complete:
                return False
            _report(collected)
        return True

    def _collect(self) -> Collection:
        running = self._collector.start(DEFAULT_GRACE, purge=False, dry_run=False, is_cancelled=never)
        with closing(running):
            for collected in running:
                if collected is not None:
                    return collected
                self._stopping.wait(PAUSE)  # requests go first
        raise AssertionError("a collection ends with its record")


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
