"""Load balancers in front of several daemons, for each connection or for each request.

    with RequestBalancer(ports) as balancer:
        client = OpStoreClient(balancer.url, token=token)

The daemons accept the Host of the balancer (`--allow-host`), which passes everything on unchanged. A daemon that
refuses connections is taken out for a moment; one that ends in the middle of a request ends the client's connection.
"""

import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Sequence
from typing import Protocol

from tests.support.fault_proxy import HttpProxy, TcpProxy

OUT = 0.2  # seconds for which a daemon that refused a connection gets no others


class Choice(Protocol):
    """Returns the order in which a balancer tries the daemons for the next connection or request."""

    def __call__(self, count: int) -> Sequence[int]:
        """Return the places of `count` daemons."""


def in_turn() -> Choice:
    """Return a choice that begins with the next daemon each time (round robin)."""
    lock, turn = threading.Lock(), 0

    def choose(count: int) -> Sequence[int]:
        nonlocal turn
        with lock:
            turn += 1
            begin = turn
        return [(begin + place) % count for place in range(count)]

    return choose


def at_random(seed: int) -> Choice:
    """Return a choice that begins with any daemon, by a generator with the seed."""
    chance = random.Random(seed)
    return lambda count: chance.sample(range(count), count)


class _Balancing(TcpProxy):
    """`served` counts what went to each daemon, by its place; `refused` how often a daemon was not there."""

    def __init__(self, ports: Sequence[int], choose: Choice | None = None, port: int | None = None) -> None:
        """`port`: that it listens on (None: any free one)."""
        super().__init__(ports[0], port=port)
        self._ports, self._choose = tuple(ports), choose or in_turn()
        self._out_until = dict.fromkeys(range(len(ports)), 0.0)
        self.served: Counter[int] = Counter()
        self.refused = 0

    def _connect(self) -> socket.socket:
        now = time.monotonic()
        # Those that were taken out come last: if none of the others answers, one of them may be back.
        order = sorted(self._choose(len(self._ports)), key=lambda place: self._out_until[place] > now)
        for place in order:
            try:
                connection = socket.create_connection(("127.0.0.1", self._ports[place]))
            except ConnectionError:
                self.refused += 1
                self._out_until[place] = time.monotonic() + OUT
                continue
            self.served[place] += 1
            self._open.append(connection)
            return connection
        raise ConnectionRefusedError


class ConnectionBalancer(_Balancing):
    """Sends all requests of a connection to one daemon, as a balancer of TCP does."""


class RequestBalancer(_Balancing, HttpProxy):
    """Sends each request to another daemon, as a balancer of HTTP may."""

    def appends(self) -> int:
        """Return how many appends to uploads came."""
        return sum(request.method == "PATCH" for request in self.requests)
