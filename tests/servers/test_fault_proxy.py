"""The proxies of tests that lose, cut and refuse what passes them."""

from collections.abc import Iterator
from contextlib import nullcontext

import psycopg
import pytest
from botocore.exceptions import BotoCoreError, ClientError

from tests.support.fault_proxy import SLOW_DOWN, Fault, HttpProxy, TcpProxy, every, first
from tests.support.object_store import Bucket, ObjectStore
from tests.support.postgres import Postgres

BYTES = bytes(range(256)) * 1000


@pytest.fixture
def proxy(object_store: ObjectStore) -> Iterator[HttpProxy]:
    with HttpProxy(object_store.port) as running:
        yield running


@pytest.fixture
def far(bucket: Bucket, proxy: HttpProxy) -> Bucket:
    return bucket.at(proxy.url)


def test_requests_without_a_fault_pass_unchanged(bucket: Bucket, far: Bucket, proxy: HttpProxy) -> None:
    client = far.client()
    for name in ("a", "b"):
        client.put_object(Bucket=far.name, Key=far.prefix + name, Body=BYTES)
        assert client.get_object(Bucket=far.name, Key=far.prefix + name)["Body"].read() == BYTES
    assert far.list_keys() == bucket.list_keys() == ["a", "b"]
    assert [each.method for each in proxy.requests] == ["PUT", "GET", "PUT", "GET", "GET"]
    assert all(each.expects_continue for each in proxy.requests if each.method == "PUT")


def test_each_third_request_is_refused(far: Bucket, proxy: HttpProxy) -> None:
    proxy.fault_for = every(3, SLOW_DOWN, "^PUT")
    client = far.client()
    for number in range(6):
        is_third = number % 3 == 2
        with pytest.raises(ClientError, match="SlowDown") if is_third else nullcontext():
            client.put_object(Bucket=far.name, Key=f"{far.prefix}{number}", Body=BYTES)
    assert far.list_keys() == ["0", "1", "3", "4"]
    assert proxy.happened == {"refuse": 2}


def test_a_client_that_retries_gets_past_a_refusal(far: Bucket, proxy: HttpProxy) -> None:
    proxy.fault_for = first(1, SLOW_DOWN)
    far.client(retries={"total_max_attempts": 2}).put_object(Bucket=far.name, Key=far.prefix + "a", Body=BYTES)
    assert far.list_keys() == ["a"]


@pytest.mark.parametrize(
    ("fault", "arrives"),
    [
        (Fault("lose the request"), False),
        (Fault("cut the request", at=1000), False),
        (Fault("lose the response"), True),
    ],
    ids=["lost request", "cut request", "lost response"],
)
def test_a_put_fails_before_or_after_it_takes_effect(
    far: Bucket, proxy: HttpProxy, fault: Fault, *, arrives: bool
) -> None:
    proxy.fault_for = first(1, fault)
    with pytest.raises(BotoCoreError):
        far.client().put_object(Bucket=far.name, Key=far.prefix + "a", Body=BYTES)
    assert far.list_keys() == ["a"] * arrives


def test_a_response_is_cut_after_the_bytes(bucket: Bucket, far: Bucket, proxy: HttpProxy) -> None:
    bucket.client().put_object(Bucket=bucket.name, Key=bucket.prefix + "a", Body=BYTES)
    proxy.fault_for = first(1, Fault("cut the response", at=1000))
    body = far.client().get_object(Bucket=far.name, Key=far.prefix + "a")["Body"]
    assert body.read(1000) == BYTES[:1000]
    with pytest.raises(BotoCoreError):
        body.read()


def test_a_database_is_away_and_comes_back(postgres: Postgres) -> None:
    with TcpProxy(postgres.port) as proxy:
        url = postgres.url(port=proxy.port).replace("+psycopg", "")
        with psycopg.connect(url) as connection:
            proxy.go_away()
            with pytest.raises(psycopg.OperationalError):
                connection.execute("SELECT 1")
        with pytest.raises(psycopg.OperationalError, match="refused"):
            psycopg.connect(url)
        proxy.come_back()
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_commit_takes_effect_and_its_response_is_lost(postgres: Postgres, postgres_url: str) -> None:
    with TcpProxy(postgres.port) as proxy:
        name = postgres_url.rpartition("/")[2]
        lossy = psycopg.connect(postgres.url(name, port=proxy.port).replace("+psycopg", ""))
        lossy.execute("CREATE TABLE op (name text)")
        proxy.lose_response_to(b"COMMIT")
        with pytest.raises(psycopg.OperationalError):
            lossy.commit()
        lossy.close()
        assert proxy.cuts == 1
    with psycopg.connect(postgres_url.replace("+psycopg", "")) as connection:
        assert connection.execute("SELECT count(*) FROM op").fetchone() == (0,)
