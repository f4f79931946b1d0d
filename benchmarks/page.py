"""Measure the time to the first byte of each view of the page, with few versions and with many, interleaved.

Prints a table of ratios, whose goal is 3. tests/daemon/page/test_scale.py counts the statements of each view.
"""

import argparse
import http.client
import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager

from rich.console import Console
from rich.table import Table

from benchmarks.filled import fill
from opstore_cli import OpStoreClient
from opstore_daemon import OpStoreServer
from opstore_daemon.http_server.listener import Listener
from opstore_daemon.savers import MemorySaver

VIEWS = {
    "ops": "/",
    "op": "/ui/ops/upstream",
    "version": "/ui/ops/upstream/1.0.0",
    "matrix": "/ui/matrix/upstream/downstream",
    "edge": "/ui/edge?upstream=upstream&downstream=downstream",
    "pipelines": "/ui/pipelines",
    "pipeline": "/ui/pipelines/chain",
    "journal": "/ui/journal",
    "search": "/ui/search?q=stream",
    "search for a digest": "/ui/search?q=sha256:00000000",
    "ops as they were": "/?as_of={then}",
    "op as it was": "/ui/ops/upstream?as_of={then}",
}
GOAL = 3.0


class Browser:
    """A kept connection with a session of the page."""

    def __init__(self, listener: Listener, token: str, then: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", listener.port)
        self._then = then
        with OpStoreClient(listener.url, token=token) as client:
            self._connection.request("GET", client.invite().path)
        answer = self._connection.getresponse()
        answer.read()
        self._cookie = (answer.headers["Set-Cookie"] or "").partition(";")[0]

    def seconds(self, path: str) -> float:
        """Return the seconds until the response's head and the first byte of its body have arrived."""
        began = time.perf_counter()
        self._connection.request("GET", path.format(then=self._then), headers={"Cookie": self._cookie})
        answer = self._connection.getresponse()
        took = time.perf_counter() - began
        answer.read()
        assert answer.status == 200, path
        return took


@contextmanager
def browsing(versions: int) -> Iterator[Browser]:
    """Yield a browser on a store with `versions` versions of each of two ops."""
    with ExitStack() as stack:
        server = stack.enter_context(closing(OpStoreServer(MemorySaver())))
        fill(server, ["upstream", "downstream"], versions, min(20, versions // 2))
        listener = stack.enter_context(Listener(server))
        yield Browser(listener, server.token, versions + versions // 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--few", type=int, default=10, help="versions of each op (default: 10)")
    parser.add_argument("--many", type=int, default=100_000, help="versions of each op (default: 100000)")
    parser.add_argument("--rounds", type=int, default=30, help="rounds (default: 30)")
    options = parser.parse_args()
    with browsing(options.few) as few, browsing(options.many) as many:
        times: dict[str, list[tuple[float, float]]] = {view: [] for view in VIEWS}
        for number in range(options.rounds + 1):
            for view, path in VIEWS.items():
                both = few.seconds(path), many.seconds(path)
                if number:  # the first round pays for what is created once
                    times[view].append(both)
    table = Table(title=f"time to the first byte, medians of {options.rounds} rounds")
    for column in ("view", f"{options.few} versions, ms", f"{options.many} versions, ms", "ratio", "goal"):
        table.add_column(column, justify="right")
    for view, both_of in times.items():
        few_ms, many_ms = (statistics.median(each) * 1000 for each in zip(*both_of, strict=True))
        table.add_row(view, f"{few_ms:.1f}", f"{many_ms:.1f}", f"{many_ms / few_ms:.2f}", f"{GOAL:.1f}")
    Console().print(table)


if __name__ == "__main__":
    main()
