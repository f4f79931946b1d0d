"""Several transfers at once: results, progress, fatal errors and interrupts."""

import signal
import threading
from functools import partial

import pytest

from opstore_cli.output.progress import NullDisplay
from opstore_cli.transfer import threads
from opstore_cli.transfer.interruption import InterruptedTransfer
from opstore_cli.transfer.parallel import ParallelTransfers
from opstore_daemon.protocol import errors
from tests.support.waiting import wait_for


@pytest.fixture
def is_waiting(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Return an event that is set once a thread waits for another one, but not for its start."""
    waiting = threading.Event()

    class Watched(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            if timeout is not None:
                waiting.set()
            return super().wait(timeout)

    monkeypatch.setattr(threading, "Event", Watched)
    return waiting


class Watched(NullDisplay):
    """Records what a display would show."""

    def __init__(self) -> None:
        self.moves: list[tuple[int, int, int | None]] = []
        self.ends: list[int] = []

    def moved(self, number: int, done: int, total: int | None) -> None:
        self.moves.append((number, done, total))

    def ended(self, number: int) -> None:
        self.ends.append(number)


def test_each_job_ends_by_itself_and_one_display_shows_all() -> None:
    watched = Watched()

    def job(number: int) -> int:
        if number == 3:
            raise errors.OutputExists(path="3")
        for done in (0, 5, 10):
            jobs.moved(done, 10)
        return number

    jobs = ParallelTransfers([partial(job, number) for number in range(9)], watched)
    ended = jobs.run()
    assert [each for each in ended if isinstance(each, int)] == [0, 1, 2, 4, 5, 6, 7, 8]
    assert isinstance(ended[3], errors.OutputExists)
    assert sorted(watched.ends) == list(range(9))
    for number in ended:
        moves = [(done, total) for moved, done, total in watched.moves if moved == number]
        assert moves == ([(0, 10), (5, 10), (10, 10)] if isinstance(number, int) else [])


def test_after_a_fatal_error_or_a_bug_no_more_jobs_start() -> None:
    begun: list[int] = []

    def job(number: int, failure: Exception) -> int:
        begun.append(number)
        raise failure

    lost = errors.ConnectionLost(url="u", reason="r")
    ended = ParallelTransfers([partial(job, number, lost) for number in range(50)], NullDisplay()).run()
    assert len(begun) < 10
    assert [number for number, each in enumerate(ended) if each is not None] == sorted(begun)
    with pytest.raises(ZeroDivisionError):
        ParallelTransfers([lambda: 1 // 0] * 50, NullDisplay()).run()


def test_an_interrupt_that_another_thread_receives_ends_all(
    is_waiting: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads, "GRACE", 0.0)
    over, waited = threading.Event(), []

    def job() -> None:
        assert is_waiting.wait(10)
        signal.pthread_kill(threading.get_ident(), signal.SIGINT)
        waited.append(over.wait(10))

    with pytest.raises(KeyboardInterrupt):
        ParallelTransfers([job], NullDisplay()).run()
    assert waited == [], "it was not waited for"
    over.set()


def test_an_interrupt_says_that_there_is_something_to_resume_also_if_the_first_bytes_came_after_it(
    is_waiting: threading.Event,
) -> None:
    main_thread = threading.get_ident()

    def job() -> None:
        assert is_waiting.wait(10)
        signal.pthread_kill(main_thread, signal.SIGINT)
        wait_for(jobs._interrupted.is_set, "interrupt")
        jobs.moved(1, 2)

    jobs = ParallelTransfers([job], NullDisplay())
    with pytest.raises(KeyboardInterrupt) as caught:
        jobs.run()
    assert caught.type is InterruptedTransfer
