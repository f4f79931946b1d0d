"""/readyz, which a load balancer asks without a token: whether this daemon can serve requests now."""

import threading
from collections.abc import Iterator

import pytest
import requests

from opstore_daemon import OpStoreServer
from opstore_daemon.http_server.listener import Listener
from opstore_daemon.protocol import errors, routes
from opstore_daemon.web.readiness import Readiness
from tests.support.servers import TIMEOUT
from tests.support.waiting import wait_for


class Hanging:
    """A check that does not return until the test lets it."""

    def __init__(self) -> None:
        self.count = 0
        self.begun, self.released = threading.Event(), threading.Event()

    def __call__(self) -> None:
        self.count += 1
        self.begun.set()
        assert self.released.wait(TIMEOUT)


@pytest.fixture
def hanging() -> Iterator[Hanging]:
    check = Hanging()
    yield check
    check.released.set()


def test_requests_share_one_check(hanging: Hanging) -> None:
    readiness = Readiness(hanging, timeout=TIMEOUT)
    threads = [threading.Thread(target=readiness.verify) for _ in range(8)]
    for thread in threads:
        thread.start()
    assert hanging.begun.wait(TIMEOUT)
    hanging.released.set()
    for thread in threads:
        thread.join(TIMEOUT)
    assert hanging.count < len(threads), "who asks while a check runs waits for that one"
    before = hanging.count
    readiness.verify()
    assert hanging.count == before + 1, "and a later request has a check of its own"


def test_a_database_that_does_not_respond_holds_no_thread(hanging: Hanging) -> None:
    readiness = Readiness(hanging, timeout=0.01)
    with pytest.raises(errors.NotReady):
        readiness.verify()
    readiness._timeout = TIMEOUT  # whoever waits now would wait for long
    for _ in range(100):
        with pytest.raises(errors.NotReady):
            readiness.verify()
    assert hanging.count == 1
    hanging.released.set()
    wait_for(lambda: readiness._running is not None and not readiness._running.is_alive())
    readiness.verify()
    assert hanging.count == 2, "once it responds again, the daemon is ready without a restart"


@pytest.mark.parametrize("failure", [errors.DatabaseFailed(reason="gone"), RuntimeError("a bug")])
def test_any_failure_means_not_ready(failure: Exception) -> None:
    def failing() -> None:
        raise failure

    with pytest.raises(errors.NotReady):
        Readiness(failing, timeout=TIMEOUT).verify()


def status(listener: Listener, path: str = routes.READY) -> int:
    return requests.get(listener.url + path, timeout=TIMEOUT).status_code


def test_a_daemon_that_is_to_stop_serves_until_a_balancer_has_noticed(server: OpStoreServer) -> None:
    with Listener(server) as listener:
        assert status(listener) == 200
        listener.stop(drain=TIMEOUT)
        assert (status(listener), status(listener, routes.HEALTH)) == (503, 200)
        listener.stop(drain=TIMEOUT)  # a second signal
        assert listener._thread is not None
        listener._thread.join(TIMEOUT)
        assert not listener._thread.is_alive()
        with pytest.raises(requests.ConnectionError):
            status(listener)


def test_a_daemon_that_has_been_drained_ends_by_itself(server: OpStoreServer) -> None:
    with Listener(server) as listener:
        listener.stop(drain=0.01)
        assert listener._thread is not None
        listener._thread.join(TIMEOUT)
        assert not listener._thread.is_alive()


def test_a_database_that_a_later_release_upgraded_is_not_ready_unless_this_one_may_go_on(server: OpStoreServer) -> None:
    server.store.check()
    with server.db.write() as connection:
        connection.exec_driver_sql("UPDATE counter SET oldest_schema = '9999'")
    with pytest.raises(errors.SchemaTooNew) as refused:
        server.store.check()
    assert "9999" in refused.value.text
    with pytest.raises(errors.NotReady):
        server.readiness.verify()
