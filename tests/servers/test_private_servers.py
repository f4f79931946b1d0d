"""The private servers of the tests themselves."""

import dataclasses

import psycopg
import pytest
from botocore.exceptions import ClientError

from tests.support.object_store import Bucket
from tests.support.postgres import Postgres


def _connect(url: str) -> "psycopg.Connection[tuple[object, ...]]":
    return psycopg.connect(url.replace("+psycopg", ""), autocommit=True)


def test_each_database_is_empty_and_the_test_s_own(postgres: Postgres, postgres_url: str) -> None:
    with postgres.database() as other, _connect(postgres_url) as mine, _connect(other) as its:
        mine.execute("CREATE TABLE op (name text)")
        with pytest.raises(psycopg.errors.UndefinedTable):
            its.execute("SELECT * FROM op")
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        _connect(other)


def test_a_wrong_signature_is_refused(bucket: Bucket) -> None:
    stranger = dataclasses.replace(bucket, secret_key="another").client()
    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        stranger.put_object(Bucket=bucket.name, Key=bucket.prefix + "key", Body=b"")
    assert bucket.list_keys() == []


def test_wrong_checksums_are_refused(bucket: Bucket) -> None:
    client, key = bucket.client(), bucket.prefix + "key"
    with pytest.raises(ClientError, match="BadDigest"):
        client.put_object(Bucket=bucket.name, Key=key, Body=b"bytes", ChecksumSHA256="A" * 43 + "=")
    with pytest.raises(ClientError, match="BadDigest"):
        client.put_object(Bucket=bucket.name, Key=key, Body=b"bytes", ChecksumCRC64NVME="AAAAAAAAAAA=")
    assert bucket.list_keys() == []
