"""The network loses, cuts, doubles and delays requests and responses: each push makes exactly one version."""

import random
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from opstore_cli import OpStoreClient
from opstore_cli.config.settings import Settings
from opstore_daemon import OpStoreServer
from opstore_daemon.http_server.listener import Listener
from opstore_daemon.protocol.digests import digest_of
from opstore_daemon.savers import MemorySaver
from opstore_daemon.store import Store
from tests.support.daemon import Daemon
from tests.support.figures import figures
from tests.support.lossy_proxy import KINDS, Fault, LossyProxy, Message
from tests.support.servers import ADMIN_TOKEN

pytestmark = [pytest.mark.usefixtures("no_waits"), pytest.mark.timeout(1800)]

NEVER = datetime.min.replace(tzinfo=UTC)
UPLOADED = 1024 * 1024 + 1  # bytes: the smallest version that is uploaded


class Faults:
    """Chooses a fault for two in five requests, but never for three tries of one request in a row."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self._in_a_row = 0

    def __call__(self, request: Message) -> Fault | None:
        if self._in_a_row == 2 or self._chance.random() > 0.4:
            self._in_a_row = 0
            return None
        self._in_a_row += 1
        return Fault(self._chance.choice(KINDS), self._chance.random())


@pytest.fixture
def proxied(daemon: Daemon, tmp_path: Path) -> Iterator[tuple[OpStoreClient, LossyProxy]]:
    """Return a client of the daemon and the proxy between the two."""
    with ExitStack() as stack:
        proxy = stack.enter_context(LossyProxy(daemon.address, daemon.token))
        settings = Settings(home=tmp_path / "client").with_url(proxy.url)
        yield stack.enter_context(OpStoreClient(settings=settings, token=daemon.token)), proxy


@pytest.mark.parametrize("count", figures(1000, 30))
def test_each_push_makes_one_version(
    daemon: Daemon, proxied: tuple[OpStoreClient, LossyProxy], tmp_path: Path, count: int
) -> None:
    client, proxy = proxied
    chance = random.Random(count)
    client.register("forest", fields={"major": {"trees": "10"}})
    proxy.fault_for = Faults(count)
    acknowledged: list[str] = []
    contents: list[bytes] = []
    for number in range(count):
        # Every third has the bytes of the one before: nothing but the idempotency key tells it from a repetition.
        size = UPLOADED if number % 10 == 0 else chance.randrange(2000)
        data = contents[-1] if number % 3 == 2 else number.to_bytes(4, "big") + chance.randbytes(size)
        pushed = client.push("pca", data, new=True, valid_for=["forest"], tags=[f"t{number}"])
        assert (pushed.created, pushed.digest) == (True, digest_of(data))
        acknowledged.append(pushed.version)
        contents.append(data)
    proxy.fault_for = lambda _: None
    assert all(proxy.happened.values()), proxy.happened
    versions = client.versions("pca").versions
    assert [each.sequence for each in versions] == list(range(count, 0, -1))
    assert [each.version for each in reversed(versions)] == acknowledged
    assert [each.digest for each in reversed(versions)] == [digest_of(data) for data in contents]
    assert [each.tags for each in reversed(versions)] == [(f"t{number}",) for number in range(count)]
    links = client.links("pca")
    assert sorted(each.upstream_version for each in links) == sorted(acknowledged)
    assert client.uploads() == []
    assert list((daemon.home / "blobs" / "staging").iterdir()) == []
    blobs = [path for path in (daemon.home / "blobs" / "blobs").rglob("*") if path.is_file()]
    assert len(blobs) == len(set(contents))


def everything(client: OpStoreClient | Store) -> None:
    """Use each verb that writes."""
    for data in (b"one", b"two", b"three", bytes(UPLOADED)):
        client.push("pca", data, new=True, tags=["newest"])
    client.register("forest", fields={"major": {"trees": "10"}})
    client.register_pipeline("churn", ["pca", "forest"])
    client.link("pca@1.0.0", "forest")
    client.link("pca@1.0.1", "forest", valid=False, evidence="it crashed")
    client.unlink("pca@1.0.0", "forest")
    client.tag("pca@1.0.1", "good")
    client.tag("pca@1.0.2", "good")
    client.untag("pca", "good")
    client.yank("pca@1.0.1", "bad")
    client.unyank("pca@1.0.1")
    client.edit("pca@1.0.1", message="again", labels={"a": "b"})
    client.set_op("pca", compat="minor", description="a step")
    client.remove("pca@1.0.0", reason="a mistake")
    client.remove_pipeline("churn")
    client.collect_garbage(grace=0, purge=True)
    client.push("pca", b"one", new=True)


def history(store: OpStoreClient | Store) -> list[object]:
    """Return the journal without its times and authors, and what the versions are."""
    entries = [msgspec.structs.replace(entry, registered_at=NEVER, author=None) for entry in store.log()]
    versions = store.versions("pca").versions
    return [*entries, *((each.version, each.sequence, each.digest, each.tags) for each in versions), *store.ops()]


@pytest.mark.slow
@pytest.mark.parametrize("count", figures(50))
def test_each_request_that_writes_has_its_effect_once(tmp_path: Path, count: int) -> None:
    with closing(OpStoreServer(MemorySaver())) as reference:
        everything(reference.store)
        expected = history(reference.store)
    happened: Counter[str] = Counter()
    for seed in range(count):
        with closing(OpStoreServer(MemorySaver(), token=ADMIN_TOKEN)) as server, Listener(server) as listener:
            with LossyProxy(("127.0.0.1", listener.port), ADMIN_TOKEN, Faults(seed)) as proxy:
                settings = Settings(home=tmp_path / "client").with_url(proxy.url)
                with OpStoreClient(settings=settings, token=ADMIN_TOKEN) as client:
                    everything(client)
                happened.update(proxy.happened)
            assert history(server.store) == expected, seed
    assert set(happened) == set(KINDS)
