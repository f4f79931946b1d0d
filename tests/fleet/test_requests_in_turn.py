"""Each request of a client reaches another daemon: every verb works as with one daemon."""

import io
import threading
from collections.abc import Iterator

import pytest
import requests

from opstore_cli import OpStoreClient
from opstore_daemon.protocol import errors, routes
from opstore_daemon.protocol.digests import digest_of
from tests.support.balancer import RequestBalancer
from tests.support.fleet import Fleet, in_threads
from tests.support.http_client import Http
from tests.support.random_bytes import random_bytes
from tests.support.site import TIMEOUT

MIB = 1024 * 1024


@pytest.fixture
def balancer(fleet: Fleet) -> Iterator[RequestBalancer]:
    """A balancer that sends each request to the next daemon."""
    with fleet.by_request() as running:
        yield running
        assert min(running.served[place] for place in range(fleet.count)) > 0, "every daemon had a part in it"


@pytest.fixture
def client(fleet: Fleet, balancer: RequestBalancer) -> Iterator[OpStoreClient]:
    with fleet.client(balancer.url) as opened:
        yield opened


class Stream(io.BytesIO):
    """Bytes that can be read once, as those of a pipe: the client sends them in several appends."""

    def seekable(self) -> bool:
        return False


def test_links_tags_and_verdicts(client: OpStoreClient) -> None:
    for number in range(3):
        client.push("links-pca", b"pca %d" % number, tags=[f"t{number}"])
        client.push("links-forest", b"forest %d" % number)
    client.register_pipeline("links", ["links-pca", "links-forest"])
    assert client.validate("links-pca", "links-forest").verdict == "unknown"
    client.link("links-pca@t2", "links-forest@1.0.2")
    assert client.validate("links-pca", "links-forest").verdict == "valid"
    assert client.validate_pipeline("links").verdict == "valid"
    client.link("links-pca", "links-forest", valid=False)
    assert [client.validate_pipeline("links").verdict for _ in range(4)] == ["invalid"] * 4
    client.tag("links-pca@1.0.0", "t2")
    assert {client.show("links-pca@t2").version for _ in range(4)} == {"1.0.0"}
    assert len(client.log("links-pca")) >= 4
    client.yank("links-pca@1.0.2", "broken")
    assert [client.show("links-pca").version for _ in range(3)] == ["1.0.1"] * 3


@pytest.mark.slow
def test_a_client_waits_for_a_verdict_that_another_client_makes(fleet: Fleet, client: OpStoreClient) -> None:
    client.push("wait-pca", b"one")
    client.push("wait-forest", b"one")
    asked = threading.Event()

    def link() -> None:
        asked.wait(TIMEOUT)
        with fleet.client(fleet.daemon(0).url, "linker") as other:
            other.link("wait-pca", "wait-forest")

    thread = threading.Thread(target=link)
    thread.start()
    asked.set()
    found = client.wait("wait-pca", "wait-forest", seconds=TIMEOUT)
    thread.join()
    assert found.verdict == "valid"


@pytest.mark.slow
def test_the_etag_of_a_verdict_is_the_same_at_every_daemon(
    fleet: Fleet, client: OpStoreClient, balancer: RequestBalancer
) -> None:
    for op in ("etag-pca", "etag-forest"):
        client.push(op, b"one")
    question = f"{routes.VERDICT}?upstream=etag-pca&downstream=etag-forest"
    with Http(balancer.url, fleet.token) as http:
        etags = {http.get(question).headers["ETag"] for _ in range(fleet.count)}
        assert len(etags) == 1
        found = [http.get(question, headers={"If-None-Match": min(etags)}).status_code for _ in range(fleet.count)]
    assert found == [304] * fleet.count


def test_a_request_that_is_repeated_has_its_effect_once(fleet: Fleet, balancer: RequestBalancer) -> None:
    with Http(balancer.url, fleet.token) as http:
        path = routes.path(routes.VERSIONS, op="again")
        body = {"fields": {"major": {"k": "1"}}}
        headers = {"Idempotency-Key": "the same"}
        responses = [http.post(path, body, headers=headers) for _ in range(2 * fleet.count)]
        assert {response.status_code for response in responses} == {201}
        assert len({response.content for response in responses}) == 1
        other = http.post(path, {"fields": {"major": {"k": "2"}}}, headers=headers)
        assert other.json()["code"] == "KeyReused"


def test_a_session_of_the_page(fleet: Fleet, balancer: RequestBalancer) -> None:
    def get(path: str, cookie: str = "") -> requests.Response:
        return requests.get(balancer.url + path, headers={"Cookie": cookie}, timeout=TIMEOUT, allow_redirects=False)

    def pages() -> set[int]:
        return {get("/", cookie).status_code for _ in range(fleet.count)}

    with Http(balancer.url, fleet.token) as http:
        cookie = get(http.post(routes.SESSIONS).json()["path"]).headers["Set-Cookie"].partition(";")[0]
        assert pages() == {200}
        assert http.delete(routes.SESSIONS).status_code == 204
    assert pages() == {401}


@pytest.mark.slow
def test_bytes_that_one_daemon_received_are_read_from_any(client: OpStoreClient, balancer: RequestBalancer) -> None:
    data = random_bytes(17 * MIB)
    before = balancer.appends()
    pushed = client.push("bytes", Stream(data))
    assert balancer.appends() - before >= 3, "each of them went to another daemon"
    assert pushed.digest == digest_of(data)
    assert client.pull("bytes") == data
    again = client.push("bytes", Stream(data))
    assert (again.created, again.version) == (False, pushed.version)


@pytest.mark.slow
def test_garbage_and_checks(fleet: Fleet, client: OpStoreClient) -> None:
    kept, gone = (client.push("garbage", b"%d of the garbage" % number, new=True) for number in range(2))
    client.remove(f"garbage@{gone.version}")

    def collect(other: OpStoreClient, _number: int) -> int:
        return other.collect_garbage(grace=0).garbage

    with fleet.by_connection() as connections:
        moved = in_threads(fleet, connections.url, 3, collect)
    assert sum(moved) >= 1, "of collections at the same time, one or more find it"
    assert client.pull(f"garbage@{kept.version}") == b"0 of the garbage"
    with pytest.raises(errors.VersionRemoved):
        client.pull(f"garbage@{gone.version}")
    report = client.fsck(read_data=True)
    assert report.clean, report.findings


def test_status_and_readiness(fleet: Fleet, client: OpStoreClient, balancer: RequestBalancer) -> None:
    found = [client.status() for _ in range(fleet.count)]
    assert {status.pid for status in found} == {fleet.daemon(place).process.pid for place in range(fleet.count)}
    assert len({(status.ops, status.versions, status.blobs_size) for status in found}) == 1
    with Http(balancer.url, fleet.token) as http:
        assert [http.get(routes.READY).status_code for _ in range(fleet.count)] == [200] * fleet.count


@pytest.mark.slow
def test_a_home_has_nothing_that_another_daemon_would_need(fleet: Fleet, client: OpStoreClient) -> None:
    """So it can be a temporary folder of a container whose other files can only be read."""
    client.push("home", Stream(random_bytes(9 * MIB)))
    for place in range(fleet.count):
        home = fleet.daemon(place).home
        assert {path.name for path in home.iterdir()} <= {"daemon.json", "daemon.lock", "daemon.log"}
        assert sum(path.stat().st_size for path in home.iterdir()) < MIB, "no byte of an op"
    kept = client.pull("home")
    assert fleet.daemon(0).stop() == 0
    for path in fleet.daemon(0).home.iterdir():
        path.unlink()
    fleet.daemon(0).home.rmdir()
    fleet.start(0)
    with fleet.client(fleet.daemon(0).url, "after") as after:
        assert after.pull("home") == kept


@pytest.mark.slow
def test_two_daemons_push_the_same_bytes_at_the_same_time(fleet: Fleet, client: OpStoreClient) -> None:
    def push(other: OpStoreClient, number: int) -> str:
        return other.push(f"same-{number}", b"the same bytes" * 100).digest or ""

    with fleet.by_connection() as connections:
        digests = in_threads(fleet, connections.url, 6, push)
    assert len(set(digests)) == 1
    assert {client.pull(f"same-{number}") for number in range(6)} == {b"the same bytes" * 100}
