"""A daemon whose program is replaced or removed while it runs: the API imports nothing more."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from opstore_daemon.protocol import routes
from tests.daemon.http.test_openapi import fill, filled_in, requests_that_go_well
from tests.daemon.process.conftest import Start
from tests.support.daemon import environment
from tests.support.http_client import Http
from tests.support.random_bytes import random_bytes
from tests.support.waiting import WITHIN

pytestmark = pytest.mark.process

# Refuses every import from the moment in which the daemon reports that it is ready.
REFUSING = """
import sys
from opstore_daemon import daemon
from opstore_daemon.__main__ import main

class Removed:
    def find_spec(self, name, path=None, target=None):
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

report = daemon._report_to_starter

def report_and_remove(record):
    sys.meta_path.insert(0, Removed())
    report(record)

daemon._report_to_starter = report_and_remove
main(["serve"], prog_name="opstore")
"""


@contextmanager
def removed_program(home: Path) -> Iterator[tuple[Http, "subprocess.Popen[bytes]"]]:
    """Run a daemon that can import nothing once it is ready; yield a client with the token of its home."""
    reading, writing = os.pipe()
    with open(reading) as ready:
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", REFUSING],
            env=environment(home, OPSTORE_READY_FD=str(writing)),
            pass_fds=[writing],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(writing)
        try:
            url = json.loads(ready.readline())["url"]
            with Http(url, (home / "token").read_text().strip()) as http:
                yield http, process
        finally:
            process.kill()
            process.wait(WITHIN)


@pytest.mark.slow
def test_every_route_of_the_api_works_without_another_import(home: Path) -> None:
    with removed_program(home) as (http, process):
        fill(http)
        for method, path, parts, options in requests_that_go_well(http):
            answer = http.ask(method, filled_in(path, **parts), **options)
            assert answer.status_code < 400, (method, path, answer.text)
        assert process.wait(WITHIN) == 0  # the last of them stops the daemon
    assert "Traceback" not in (home / "daemon.log").read_text()


@pytest.mark.slow
def test_refusals_and_large_bodies_need_no_other_import_either(home: Path) -> None:
    with removed_program(home) as (http, process):
        version = http.push("pca", random_bytes(3 << 20))
        assert version["version"] == "1.0.0"
        for method, path, status in (
            ("GET", "/v1/nowhere", 404),
            ("PUT", routes.STATUS, 405),
            ("GET", "/v1/ops/PCA", 400),
            ("GET", "/v1/ops/none", 404),
            ("GET", f"{routes.STATUS}?a=1", 400),
        ):
            assert http.ask(method, path).status_code == status
        process.send_signal(signal.SIGTERM)
        assert process.wait(WITHIN) == 0
    assert "Traceback" not in (home / "daemon.log").read_text()


@pytest.mark.slow
def test_the_page_says_that_the_program_was_replaced(home: Path) -> None:
    with removed_program(home) as (http, _):
        path = http.post(routes.SESSIONS).json()["path"]
        answer = requests.get(http.url + path, timeout=WITHIN)
        assert (answer.status_code, answer.json()["code"]) == (503, "ProgramReplaced")
        assert answer.json()["hint"] == "opstore restart"
        assert http.get(routes.STATUS).status_code == 200


def test_the_daemon_can_be_stopped_over_http(start: Start) -> None:
    daemon = start()
    assert daemon.ask("POST", routes.STOP)[0] == 202
    assert daemon.ends() == 0
    assert not daemon.runtime_file.exists()
    assert "stopped" in (daemon.home / "daemon.log").read_text()
