"""Clients as processes of their own: threads of one process would wait for each other."""

import multiprocessing
import multiprocessing.queues
from collections.abc import Callable, Sequence
from typing import Any

from tests.support.waiting import WITHIN

# A server that has imported the client forks the processes: importing it in each would take longer than their work.
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    [
        "opstore_cli.client.client",
        "opstore_cli.transfer.upload",
        "opstore_cli.transport.connections",
        "tests.load.workers",
        __name__,
    ]
)


def run_all(work: Callable[..., Any], arguments: Sequence[tuple[Any, ...]], within: float = WITHIN) -> list[Any]:
    """Call `work` with each of the arguments, each in a process, beginning together; return what the calls returned."""
    ready, queue = _CONTEXT.Barrier(len(arguments)), _CONTEXT.SimpleQueue()
    processes = [
        _CONTEXT.Process(target=_call, args=(place, work, given, ready, queue), daemon=True)
        for place, given in enumerate(arguments)
    ]
    for process in processes:
        process.start()
    try:
        answers: dict[int, Any] = dict(queue.get() for _ in processes)
    finally:
        for process in processes:
            process.join(within)
            process.kill()
    for answer in answers.values():
        if isinstance(answer, BaseException):
            raise answer
    return [answers[place] for place in range(len(arguments))]


def _call(place: int, work: Callable[..., Any], given: tuple[Any, ...], ready: Any, queue: Any) -> None:
    try:
        ready.wait(WITHIN)
        queue.put((place, work(*given)))
    except BaseException as error:  # noqa: BLE001 - raised again where the test sees it
        queue.put((place, error))
