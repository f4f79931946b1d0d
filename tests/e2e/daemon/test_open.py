"""`opstore open`: the page in a browser, signed in, by the real program and a real daemon."""

import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from opstore_daemon.protocol import routes
from tests.e2e.login.test_login import store_token
from tests.support.figures import few
from tests.support.machines import Machine
from tests.support.servers import TIMEOUT
from tests.support.wire import Stranger

Opened = Callable[[], str]


@pytest.fixture
def browser(machine: Machine) -> Opened:
    """Set up a fake browser; return a function that returns the URL that it opened."""
    record = machine.cwd / "opened"
    program = machine.cwd / "browser"
    program.write_text(f'#!/bin/sh\nprintf %s "$1" > {record}\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    machine.file("blob", b"bytes")
    machine.do("push", "pca", "blob")
    return lambda: record.read_text()


def run(machine: Machine, *words: str) -> tuple[int, str, str]:
    return machine.run("open", *words, env={"BROWSER": str(machine.cwd / "browser")})


@pytest.mark.parametrize(
    ("words", "path"),
    few(
        1,
        [
            ((), "/"),
            (("pca",), "/ui/ops/pca"),
            (("pca@1.0.0",), "/ui/ops/pca/1.0.0"),
            (("--pipeline", "churn"), "/ui/pipelines/churn"),
        ],
    ),
)
def test_the_page_opens_in_the_browser_with_a_session(
    machine: Machine, browser: Opened, words: tuple[str, ...], path: str
) -> None:
    url = f"http://127.0.0.1:{machine.runtime()['port']}"
    assert run(machine, *words) == (0, f"URL{path}\n", "")
    assert browser().startswith(f"{url}/ui/open/")
    assert machine.token not in browser()
    with requests.Session() as session:
        session.trust_env = False
        answer = session.get(browser(), timeout=TIMEOUT, allow_redirects=False)
        assert (answer.status_code, answer.headers["Location"]) == (303, path)
        assert session.get(url, timeout=TIMEOUT).status_code == 200
        assert session.get(browser(), timeout=TIMEOUT).status_code == 401


def test_without_a_browser_the_address_is_printed(machine: Machine, browser: Opened) -> None:
    bare = {"BROWSER": "/nonexistent", "PATH": "/nonexistent", "DISPLAY": ""}
    note = "no browser was found: open the address within 60 seconds\n"
    for words, env, said in ((("open", "--print"), {}, ""), (("open",), bare, note)):
        code, out, err = machine.raw(*words, env=env)
        assert (code, err.decode()) == (0, said)
        assert requests.get(out.decode().strip(), timeout=TIMEOUT, allow_redirects=False).status_code == 303
    with pytest.raises(FileNotFoundError):
        browser()


def test_open_with_json_prints_a_document(machine: Machine, browser: Opened) -> None:
    assert machine.ask("open", env={"BROWSER": str(machine.cwd / "browser")})[1] == {"url": "URL/", "opened": True}
    record = machine.ask("open", "--print")[1]
    assert (record["opened"], record["url"].startswith("URL/ui/open/")) == (False, True)


def test_an_op_and_a_pipeline_are_mutually_exclusive(machine: Machine) -> None:
    assert machine.run("open", "pca", "--pipeline", "churn")[0] == 2


def test_logout_ends_the_sessions(machine: Machine, browser: Opened) -> None:
    run(machine)
    with requests.Session() as session:
        session.trust_env = False
        session.get(browser(), timeout=TIMEOUT)
        url = f"http://127.0.0.1:{machine.runtime()['port']}{routes.HOME}"
        assert session.get(url, timeout=TIMEOUT).status_code == 200
        machine.do("logout")
        assert session.get(url, timeout=TIMEOUT).status_code == 401


def test_no_secret_is_on_the_disk_or_in_the_log(machine: Machine, browser: Opened) -> None:
    run(machine)
    with requests.Session() as session:
        session.trust_env = False
        secret = session.get(browser(), timeout=TIMEOUT).history[0].headers["Set-Cookie"].partition("=")[2][:43]
    code = browser().rpartition("/")[2]
    for path in Path(machine.home).rglob("*"):
        if path.is_file():
            held = path.read_bytes()
            assert code.encode() not in held
            assert secret.encode() not in held


def test_a_restarted_daemon_has_the_same_port_so_that_bookmarks_work(machine: Machine, browser: Opened) -> None:
    port = machine.runtime()["port"]
    machine.do("restart")
    assert machine.runtime()["port"] == port
    machine.do("stop")
    with socket.create_server(("127.0.0.1", port)):
        machine.do("start")
        assert machine.runtime()["port"] != port, "another program has it"
    assert os.stat(Path(machine.home) / "port").st_mode & 0o077 == 0


@pytest.mark.parametrize("words", [("--all",), ("URL",)])
def test_logout_sends_a_url_only_its_stored_token(
    machine: Machine, strangers: Callable[..., Stranger], words: tuple[str, ...]
) -> None:
    stranger = strangers(tokens=["kept-for-it"])
    store_token(machine, stranger.url, "kept-for-it")
    env = {"OPSTORE_TOKEN": "of-another-daemon"}
    machine.do("logout", *(stranger.url if word == "URL" else word for word in words), env=env)
    assert b"DELETE /v1/sessions" in stranger.received
    assert b"Bearer kept-for-it" in stranger.received
    assert b"of-another-daemon" not in stranger.received


def test_logout_of_a_url_works_with_invalid_settings(machine: Machine) -> None:
    store_token(machine, "http://127.0.0.1:1", "kept")
    code, out, err = machine.run("logout", "http://127.0.0.1:1", env={"OPSTORE_URL": "no url"})
    assert (code, err) == (0, "")
    assert out
