"""Clients that wait for a verdict poll with its etag, which is cheap and delays nobody else."""

import threading
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
import requests

from opstore_daemon import OpStoreServer
from opstore_daemon.http_server.channel import Channel
from opstore_daemon.http_server.listener import SETTINGS, Listener
from opstore_daemon.http_server.shares import Shares
from opstore_daemon.protocol import routes
from tests.daemon.http.test_uploads import begin
from tests.support.http_client import Http
from tests.support.in_process import InProcessClient
from tests.support.places import Place
from tests.support.raw_http import Raw
from tests.support.refusals import Watch
from tests.support.statements import counted

EDGE = f"{routes.VERDICT}?upstream=pca&downstream=forest"
PIPELINE = routes.path(routes.PIPELINE_VERDICT, pipeline="churn")
QUESTIONS = pytest.mark.parametrize("question", [EDGE, PIPELINE], ids=["edge", "pipeline"])


def fill(http: Http) -> Http:
    """Return the client, after registering a pipeline that nobody has validated."""
    http.register("pca", a="1")
    http.register("forest", a="1")
    assert http.post(routes.PIPELINES, {"name": "churn", "ops": ["pca", "forest"]}).status_code == 201
    return http


@pytest.fixture
def asked(http: Http) -> Http:
    """Return a client of a daemon with such a pipeline."""
    return fill(http)


def essence(response: requests.Response) -> tuple[int, bytes, str]:
    """Return what matters of a response."""
    return response.status_code, response.content, response.headers["ETag"]


@QUESTIONS
def test_a_client_that_has_the_verdict_gets_304(asked: Http, question: str) -> None:
    etag = asked.get(question).headers["ETag"]
    for given in (etag, f"W/{etag}", f'"0", {etag}', "*"):
        assert essence(asked.get(question, headers={"If-None-Match": given})) == (304, b"", etag), given
    for given in ('"0"', f'"0{etag[1:]}', '"*"', ""):
        assert asked.get(question, headers={"If-None-Match": given}).status_code == 200, given
    asked.patch(f"{routes.OPS}/pca", {"compat": "major"})
    assert asked.get(question, headers={"If-None-Match": etag}).status_code == 200


def test_every_daemon_of_a_database_gives_the_same_etag(place: Place, tmp_path: Path) -> None:
    etags = []
    for _ in range(2):
        with closing(place.open(tmp_path)) as server:
            client = InProcessClient(server)
            client.push("pca", b"one")
            client.push("forest", b"one")
            asked = server.flask.test_client().get(EDGE, headers={"Authorization": f"Bearer {server.token}"})
            etags.append(asked.headers["ETag"])
    assert etags[0] == etags[1]


def test_an_etag_of_before_a_restore_is_not_believed(place: Place, tmp_path: Path) -> None:
    """A store that was restored gives the positions after the backup to other entries."""
    etags = []
    for state in ("valid", "invalid"):
        folder = tmp_path / state  # two copies of a store that have different entries at the same position
        with closing(place.open(folder)) as server:
            client = InProcessClient(server)
            client.push("pca", b"one")
            client.push("forest", b"one")
            client.link("pca", "forest", valid=state == "valid")
            headers = {"Authorization": f"Bearer {server.token}"}
            etags.append(server.flask.test_client().get(EDGE, headers=headers).headers["ETag"])
            known = server.flask.test_client().get(EDGE, headers={**headers, "If-None-Match": ", ".join(etags)})
            assert known.status_code == 304
            old = server.flask.test_client().get(EDGE, headers={**headers, "If-None-Match": etags[0]})
            assert old.status_code == (304 if state == "valid" else 200)


def test_an_etag_never_hides_an_error(asked: Http, watch: Watch) -> None:
    missing = {
        f"{routes.VERDICT}?upstream=pca@9.0.0&downstream=forest": "VersionNotFound",
        f"{PIPELINE}?use=pca@9.0.0": "VersionNotFound",
        routes.path(routes.PIPELINE_VERDICT, pipeline="other"): "PipelineNotFound",
    }
    watch.mark()
    for question, code in missing.items():
        watch.assert_problem(asked.get(question, headers={"If-None-Match": "*"}), 404, code)
    watch.assert_problem(asked.get(question, headers={"If-None-Match": '"0"'}), 404, code)


@QUESTIONS
def test_a_conditional_request_takes_one_statement(memory_server: OpStoreServer, question: str) -> None:
    with Listener(memory_server) as listener, Http(listener.url) as client:
        etag = fill(client).get(question).headers["ETag"]
        with counted(memory_server) as statements:
            assert client.get(question, headers={"If-None-Match": etag}).status_code == 304
        assert len(statements) == 1, statements
        with counted(memory_server) as statements:
            assert client.get(question).status_code == 200
        assert len(statements) > 1, "the verdict itself is counted, too"


def of_waitress() -> set[str]:
    """Return the names of the threads that answer requests."""
    return {thread.name for thread in threading.enumerate() if thread.name.startswith("waitress-")}


def test_more_waiting_clients_than_threads_block_no_request(asked: Http, listener: Listener) -> None:
    etag = asked.get(PIPELINE).headers["ETag"]
    threads = of_waitress()
    with ExitStack() as stack:
        waiters = [stack.enter_context(Raw(listener.port)) for _ in range(4 * SETTINGS["threads"])]
        for waiter in waiters:
            assert waiter.ask("GET", PIPELINE, f"If-None-Match: {etag}").status == 304
        assert asked.get(routes.OPS).status_code == 200
        assert of_waitress() == threads
        assert all(waiter.is_closed() for waiter in waiters), "until they ask again they hold no connection either"


def test_idle_connections_are_closed_to_make_room(server: OpStoreServer) -> None:
    with Listener(server, bounds=Shares(8)) as listener, Http(listener.url) as http, ExitStack() as stack:
        upload = http.upload()
        busy = stack.enter_context(Raw(listener.port))
        begin(busy, upload, 0, 10)
        connections = []
        for _ in range(10):
            connections.append(stack.enter_context(Raw(listener.port)))
            assert connections[-1].ask("GET", routes.OPS).status == 200
        assert connections[0].is_closed(), "the one that has been idle the longest makes room"
        assert connections[-1].ask("GET", routes.OPS).status == 200, "not the one that asked last"
        busy.send(bytes(10))
        assert busy.answer().status == 200, "nor one whose request is coming in"


def test_the_loop_sleeps_while_a_thread_sends_a_response(asked: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[Channel] = []
    during: list[int] = []
    send, handle_write = Channel.send, Channel.handle_write

    def recorded(channel: Channel) -> None:
        tried.append(channel)
        handle_write(channel)

    def slow(channel: Channel, *arguments: Any, **options: Any) -> Any:
        tried.clear()
        channel.server.pull_trigger()  # the loop is awake
        threading.Event().wait(0.1)
        during.append(len(tried))
        return send(channel, *arguments, **options)

    monkeypatch.setattr(Channel, "send", slow)
    monkeypatch.setattr(Channel, "handle_write", recorded)
    assert asked.get(routes.OPS).status_code == 200
    assert set(during) == {0}, "it does not try to send, too, over and over"
