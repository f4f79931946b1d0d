"""The balancer of deploy/, as the real program: what it passes on, what it repeats, and what it answers itself."""

import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
import requests

from opstore_cli import OpStoreClient
from opstore_daemon import OpStoreServer
from opstore_daemon.http_server.listener import Listener
from opstore_daemon.protocol import errors, routes
from opstore_daemon.savers import FileSaver
from tests.support.haproxy import CHECKED, CONFIGURATION, Haproxy
from tests.support.private_server import free_ports
from tests.support.programs import installed
from tests.support.random_bytes import random_bytes
from tests.support.waiting import wait_for

TOKEN = "a-token-of-all-daemons"
SIZE = 20 * 1024 * 1024  # more than the balancer's buffers and than one request


def unused_port() -> int:
    return free_ports(1)[0]


@contextmanager
def balanced(folder: Path) -> Iterator[tuple[Haproxy, Listener]]:
    """Yield a balancer and a daemon behind it, ready."""
    port = unused_port()
    with Haproxy([port]) as balancer:
        server = OpStoreServer(
            FileSaver(folder / "blobs"),
            f"sqlite:///{folder / 'opstore.db'}",
            token=TOKEN,
            hosts=[balancer.authority, CHECKED],
        )
        with Listener(server, port=port) as listener:
            wait_for(lambda: is_ready(balancer), "a daemon that the balancer uses")
            yield balancer, listener
        server.close()


def is_ready(balancer: Haproxy) -> bool:
    with requests.get(f"{balancer.url}{routes.READY}", timeout=30) as response:
        return response.status_code == 200


def test_haproxy_accepts_the_configuration() -> None:
    command = [str(installed("haproxy")), "-c", "-f", str(CONFIGURATION)]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")


@pytest.mark.slow
def test_a_large_push_and_its_pull_pass_through(tmp_path: Path) -> None:
    data = random_bytes(SIZE)
    with balanced(tmp_path) as (balancer, _), OpStoreClient(balancer.url, token=TOKEN) as client:
        client.push("model", data)
        assert client.pull("model") == data


@pytest.mark.slow
def test_without_a_daemon_the_balancer_answers_as_a_daemon_would(tmp_path: Path) -> None:
    with Haproxy([unused_port()]) as balancer:
        response = requests.get(f"{balancer.url}{routes.OPS}", timeout=30)
        assert (response.status_code, response.headers["Retry-After"]) == (503, "1")
        assert response.headers["Content-Type"] == routes.PROBLEM
        problem = response.json()
        assert (problem["code"], problem["status"], problem["detail"]) == ("NotReady", 503, "no daemon is ready")
        assert errors.NotReady().code == problem["code"]
        unreachable = pytest.raises(errors.DaemonUnreachable, match=r"reaches no daemon \(HTTP 503\)")
        with OpStoreClient(balancer.url, token=TOKEN) as client, unreachable:
            client.ops()  # no daemon has proven itself yet


class Ending(BaseHTTPRequestHandler):
    """Answers health checks, and ends the connection of every other request once it has read the request."""

    seen: ClassVar[Counter[str]] = Counter()

    def do_GET(self) -> None:
        if self.path == routes.READY:
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            self._end()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._end()

    do_PATCH = do_POST  # noqa: N815

    def _end(self) -> None:
        self.seen[self.command] += 1
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_the_balancer_repeats_reads_and_nothing_else() -> None:
    Ending.seen.clear()
    with ThreadingHTTPServer(("127.0.0.1", unused_port()), Ending) as daemon:
        threading.Thread(target=daemon.serve_forever, daemon=True).start()
        with Haproxy([daemon.server_port]) as balancer:
            wait_for(lambda: is_ready(balancer), "a daemon that the balancer uses")
            for method in ("GET", "POST", "PATCH"):
                body = None if method == "GET" else b"{}"
                response = requests.request(method, f"{balancer.url}/v1/x", data=body, timeout=30)
                assert response.status_code in (502, 503)
        daemon.shutdown()
    assert Ending.seen["GET"] > 1
    assert (Ending.seen["POST"], Ending.seen["PATCH"]) == (1, 1)
