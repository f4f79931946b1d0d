"""The network loses, cuts, doubles and delays requests and responses: each push makes exactly one version."""

import random
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from opstore_cli import OpStoreClient
from opstore_cli.config.settings import Settings
from opstore_daemon.protocol.digests import digest_of
from tests.support.daemon import Daemon
from tests.support.figures import figures
from tests.support.lossy_proxy import KINDS, Fault, LossyProxy, Message

pytestmark = [pytest.mark.usefixtures("no_waits"), pytest.mark.timeout(1800)]

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


@pytest.mark.parametrize("count", figures(1000))
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
