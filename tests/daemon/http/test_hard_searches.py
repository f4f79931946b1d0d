"""Resolutions that take too much work end with their budget, their client or the daemon, and delay nobody else."""

import select
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from opstore_daemon import OpStoreServer
from opstore_daemon.http_server import listener as listening
from opstore_daemon.http_server.listener import SETTINGS, Listener
from opstore_daemon.protocol import routes
from opstore_daemon.rules import budget
from opstore_daemon.store.validity.searches import RUNNING, WAITING
from tests.daemon.http.test_waiting import of_waitress
from tests.daemon.store.test_search_limits import FEW, LIMIT, fill_complete
from tests.support.http_client import Http
from tests.support.places import Place
from tests.support.raw_http import Raw, head
from tests.support.refusals import Watch
from tests.support.site import Site
from tests.support.waiting import wait_for

HARD = routes.path(routes.RESOLUTION, pipeline="hard")
PAGE = routes.path(routes.PIPELINE_PAGE, pipeline="hard")


@pytest.fixture(scope="module")
def hard(lasting_place: Place, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpStoreServer]:
    """Return a store on files with a pipeline that nobody can resolve."""
    server = lasting_place.open(tmp_path_factory.mktemp("hard"))
    fill_complete(server.store, "hard", 10, 8)
    yield server
    server.close()


@pytest.fixture
def endless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the limit of the steps, so that only something else can end a search."""
    monkeypatch.setattr(budget, "STEPS", 10**15)


@pytest.fixture
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "STEPS", FEW)


def ask(connection: Raw, path: str = HARD) -> Raw:
    """Send a request; do not wait for its response."""
    connection.send(head("GET", path, host=connection.host))
    return connection


@pytest.mark.usefixtures("few_steps")
def test_a_pipeline_that_is_too_hard_is_a_problem_with_the_ops(hard: OpStoreServer) -> None:
    with Listener(hard) as listener, Http(listener.url) as client:
        response = client.get(HARD)
        problem = response.json()
        assert (response.status_code, problem["code"]) == (422, "ResolutionTooHard")
        assert problem["details"]["limit"] == LIMIT
        assert len(problem["details"]["ops"]) == budget.NAMED_OPS


def test_a_timeout_has_to_be_an_integer_of_seconds(http: Http, watch: Watch) -> None:
    for wrong in ("0", "-1", "3601", "1.5", "1e3", "", "x", "9" * 5000, "1&timeout=2"):
        watch.assert_problem(http.get(f"{HARD}?timeout={wrong}"), 400, "InvalidRequest")


@pytest.mark.slow
@pytest.mark.usefixtures("few_steps")
def test_the_page_of_a_pipeline_that_is_too_hard_shows_the_rest(hard: OpStoreServer) -> None:
    with Listener(hard) as listener:
        site = Site(hard, listener)
        site.sign_in()
        page = site.text(PAGE)
    assert f"resolve hard within {LIMIT}" in page
    assert "hard_op00" in page


@pytest.mark.usefixtures("endless")
def test_a_search_ends_with_its_client(hard: OpStoreServer) -> None:
    searches = hard.store.searches
    with Listener(hard) as listener:
        behind = head("GET", routes.OPS, host="x")  # a second request, which the daemon has not read yet
        for unread in (b"", behind) if hasattr(select, "POLLRDHUP") else (b"",):
            connection = ask(Raw(listener.port))
            connection.send(unread)
            wait_for(lambda: searches.running == 1, "the search")
            connection.socket.close()
            wait_for(lambda: searches.running == 0, "the end of the search")


@pytest.mark.usefixtures("endless")
def test_eight_hard_searches_keep_nobody_waiting(hard: OpStoreServer) -> None:
    searches = hard.store.searches
    with Listener(hard) as listener, Http(listener.url) as client, ExitStack() as stack:
        asked = [ask(stack.enter_context(Raw(listener.port))) for _ in range(SETTINGS["threads"])]
        refused = [Refused(connection) for connection in asked]
        wait_for(lambda: sum(each.has_response() for each in refused) == len(asked) - RUNNING - WAITING, "the refusals")
        assert (searches.running, searches.waiting) == (RUNNING, WAITING)
        for each in refused:
            if each.has_response():
                answer = each.connection.answer("GET")
                assert (answer.status, answer.headers["retry-after"]) == (503, "1")
                assert b'"TooManySearches"' in answer.body
        for path in (routes.OPS, routes.path(routes.PIPELINE_VERDICT, pipeline="hard"), routes.HEALTH):
            assert client.get(path).status_code == 200
        assert client.post(routes.LINKS, {"upstream": "hard_op00@1.0.0", "downstream": "hard_op01@1.0.0"}).ok
        assert (searches.running, searches.waiting) == (RUNNING, WAITING)
    wait_for(lambda: (searches.running, searches.waiting) == (0, 0), "the end of the searches")


class Refused:
    """A connection whose response may have arrived."""

    def __init__(self, connection: Raw) -> None:
        self.connection = connection

    def has_response(self) -> bool:
        return bool(select.select([self.connection.socket], [], [], 0)[0])


@pytest.mark.usefixtures("endless")
def test_a_search_does_not_outlive_the_daemon(hard: OpStoreServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "GRACE", 0.0)
    before = of_waitress()
    cancelled: list[bool] = []
    with Listener(hard) as listener:
        dispatcher = listener._waitress.task_dispatcher
        shutdown = dispatcher.shutdown

        def note_and_shut_down(**options: Any) -> None:
            cancelled.extend(channel.is_client_gone() for channel in listener._channels())
            shutdown(**options)

        monkeypatch.setattr(dispatcher, "shutdown", note_and_shut_down)
        connection = ask(Raw(listener.port))
        wait_for(lambda: hard.store.searches.running == 1, "the search")
    assert cancelled == [True], "before the daemon waits for its threads"
    wait_for(lambda: hard.store.searches.running == 0, "the end of the search")
    wait_for(lambda: of_waitress() <= before, "the end of the threads")
    connection.socket.close()
