"""The daemon's log: one line a message, and few of a kind, so that repeated lines never displace the others."""

import logging
import re
import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from opstore_daemon.system.stray_bytes import escape_in_message

BURST = 10  # lines of one kind in a window
ANONYMOUS_BURST = 20  # lines of all requests without a token, in a window of WINDOW
TRACEBACKS = 3  # of one kind in a window
WITHOUT_TRACEBACK = 100  # lines of errors of one kind in a window: each has a reference that somebody may search for
WINDOW = 60.0  # seconds; doubled up to MAX_WINDOW for as long as lines are suppressed
MAX_WINDOW = 3600.0

_LINE = "%(asctime)s %(levelname)s %(name)s %(message)s"
_CODE = re.compile(r"(/ui/open/)[^\s]+")  # protocol.routes.SIGN_IN; waitress logs whole paths


class LineFormatter(logging.Formatter):
    """Formats a message as one line, without the codes that start sessions. A traceback follows it."""

    def __init__(self) -> None:
        super().__init__(_LINE)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the name is logging's
        """Return the line, escaped."""
        record.message = one_line(_CODE.sub(r"\1<code>", record.message))
        return super().formatMessage(record)


def one_line(text: str) -> str:
    """Return the message as one line that can't control a terminal."""
    text = escape_in_message(text)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


@dataclass
class _Kind:
    ends_at: float
    window: float = WINDOW
    count: int = 0
    suppressed: int = 0
    last: logging.LogRecord | None = None


class LimitedHandler(logging.Handler):
    """Passes records to other handlers, of each kind at most BURST a window, and then their number.

    The kind is the `kind` of the record (None: unlimited), or else where in the program it comes from. `clock` returns
    seconds since any fixed time.
    """

    def __init__(self, *handlers: logging.Handler, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._handlers, self._clock = handlers, clock
        for handler in handlers:
            handler.setFormatter(LineFormatter())
        self._state_lock = threading.RLock()
        self._kinds: dict[Hashable, _Kind] = {}
        self._next_end = float("inf")

    def emit(self, record: logging.LogRecord) -> None:
        """Pass on the record unless there are too many of its kind."""
        with self._state_lock:
            self.summarize()
            self._emit(record)

    def _emit(self, record: logging.LogRecord) -> None:
        kind = getattr(record, "kind", _origin(record))
        if kind is None:
            self._pass_on(record)
            return
        entry = self._entry(kind)
        # Only requests without a token name their kind (request_log).
        anonymous = self._entry("") if hasattr(record, "kind") else None
        entry.count += 1
        if record.exc_info and TRACEBACKS < entry.count <= WITHOUT_TRACEBACK:
            record.exc_info = record.exc_text = None
        elif entry.count > BURST or (anonymous is not None and anonymous.count >= ANONYMOUS_BURST):
            entry.suppressed += 1
            entry.last = record
            return
        if anonymous is not None:
            anonymous.count += 1
        self._pass_on(record)

    def _entry(self, kind: Hashable) -> _Kind:
        entry = self._kinds.get(kind)
        if entry is None:
            entry = self._kinds[kind] = _Kind(self._clock() + WINDOW)
            self._next_end = min(self._next_end, entry.ends_at)
        return entry

    def summarize(self) -> None:
        """Log how many lines of each kind were suppressed if its window has ended. Call it now and then."""
        with self._state_lock:
            now = self._clock()
            if now < self._next_end:
                return
            for kind, entry in list(self._kinds.items()):
                if now < entry.ends_at:
                    continue
                self._pass_on_summary(entry)
                if entry.suppressed <= BURST:
                    del self._kinds[kind]
                    continue
                entry.window = min(2 * entry.window, MAX_WINDOW)
                entry.ends_at, entry.suppressed, entry.last = now + entry.window, 0, None
                entry.count = BURST  # until fewer come
            self._next_end = min((entry.ends_at for entry in self._kinds.values()), default=float("inf"))

    def _pass_on_summary(self, entry: _Kind) -> None:
        if entry.last is not None:
            self._pass_on(_summary(entry, entry.last))

    def _pass_on(self, record: logging.LogRecord) -> None:
        for handler in self._handlers:
            handler.handle(record)

    def close(self) -> None:
        """Log how many lines were suppressed, and close the handlers."""
        with self._state_lock:
            for entry in self._kinds.values():
                self._pass_on_summary(entry)
            self._kinds.clear()
        for handler in self._handlers:
            handler.close()
        super().close()


def _origin(record: logging.LogRecord) -> Hashable:
    error = record.exc_info[1] if record.exc_info else None
    trace = None if error is None else error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = None if trace is None else (trace.tb_frame.f_code.co_filename, trace.tb_lineno)
    # Not the message, which may have been formatted already, with whatever a client sent.
    return record.name, record.pathname, record.lineno, type(error), place


def _summary(entry: _Kind, last: logging.LogRecord) -> logging.LogRecord:
    text = f"{entry.suppressed:,} more like this in the last {entry.window:.0f} s: {last.getMessage()[:400]}"
    return logging.LogRecord(last.name, last.levelno, last.pathname, last.lineno, text, None, None)
