"""The signals that end this process, which first ends the commands that it started."""

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, Self

# The signals that end this process, and how they are usually handled.
_ENDING = {
    getattr(signal, name): signal.default_int_handler if name == "SIGINT" else signal.SIG_DFL
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT")
    if hasattr(signal, name)
}

Forward = Callable[[int], object]


class Ended(BaseException):
    """This process received a signal that ends it."""


class EndingSignals:
    """The signals that end this process: each is forwarded and raises an exception.

    They are held back until `release` and from `hold` on, since one that interrupts the start or the end of a command
    would leave it running. At the end of the context they have their usual effect. A signal that is ignored stays
    ignored. In a thread other than the main one, which receives no signals, the context does nothing.
    """

    def __init__(self) -> None:
        self._forward: Forward | None = None  # None: held back
        self._received: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number, usual in _ENDING.items():
                if signal.getsignal(number) == usual:
                    self._before[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, kind: type[BaseException] | None, failure: object, traceback: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._received is not None and kind is not KeyboardInterrupt:
            signal.raise_signal(self._received)

    @property
    def has_received(self) -> bool:
        """Whether one of the signals has arrived."""
        return self._received is not None

    def hold(self) -> None:
        """Hold back the signals from here on."""
        self._forward = None

    def release(self, forward: Forward) -> None:
        """Call `forward` and raise KeyboardInterrupt or Ended where a signal arrives, or now if one was held back."""
        self._forward = forward
        if self._received is not None:
            self._receive(self._received)

    def _receive(self, number: int, _frame: FrameType | None = None) -> None:
        self._received = number
        if self._forward is not None:
            # Python discards an exception that is raised in a destructor: then the command ends all the same.
            self._forward(number)
            raise KeyboardInterrupt if number == signal.SIGINT else Ended
