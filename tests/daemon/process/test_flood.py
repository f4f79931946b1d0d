"""A flood of connections and requests without a token, against a real daemon: its log and its files."""

import resource
import sys
from contextlib import ExitStack

import pytest

from opstore_daemon.log import BURST
from opstore_daemon.protocol import routes
from opstore_daemon.web.request_log import MAX_PATH
from tests.daemon.process.conftest import Start
from tests.support.raw_http import Raw, head
from tests.support.waiting import wait_for

pytestmark = pytest.mark.process


def test_a_flood_without_a_token_leaves_the_log_as_it_was(start: Start) -> None:
    daemon = start()
    log = daemon.home / "daemon.log"
    before = log.read_text()
    for number in range(100):
        with Raw(daemon.address[1]) as connection:
            path = "/" + "a" * 30_000 if number % 2 else "/v1/ops/%0a%1b[31m"
            connection.send(head("GET", path, host=connection.host, token=None))
            assert connection.answer().status == 401
            peer = "{}:{}".format(*connection.socket.getsockname())
            if not number:
                line = log.read_text().splitlines()[-1]
                assert " GET /v1/ops/\\n\\x1b[31m 401 " in line
                assert line.endswith(f" ms {peer} -")
    after = log.read_text()
    assert after.startswith(before)
    lines = after.removeprefix(before).splitlines()
    assert len(lines) == BURST
    assert all(len(line) < MAX_PATH + 150 and line.isprintable() for line in lines)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="there is no prlimit")
def test_more_connections_than_open_files_keep_nobody_out(start: Start) -> None:
    daemon = start()
    soft, pid = 64, daemon.process.pid
    _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))
    log = daemon.home / "daemon.log"
    with ExitStack() as stack:
        for _ in range(soft + 20):
            stack.enter_context(Raw(daemon.address[1]))
        for _ in range(3):
            asking = stack.enter_context(Raw(daemon.address[1]))
            asking.send(head("GET", routes.OPS, host=asking.host, token=daemon.token))
            assert asking.answer().status == 200
        wait_for(lambda: "accept: Too many open files" in log.read_text(), "the report")
    assert log.read_text().count("accept: Too many open files") == 1
