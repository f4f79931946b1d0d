"""The URL of a PostgreSQL database: which ones are accepted, and that no message has a password."""

import re
import subprocess
import sys
from contextlib import closing

import pytest

from opstore_daemon.metadata import Database
from opstore_daemon.metadata.postgres.settings import Settings
from opstore_daemon.protocol import errors

SECRET = "hunter2"


@pytest.mark.parametrize(
    ("url", "name"),
    [
        (f"postgresql+psycopg://me:{SECRET}@db.example.com/ops", "postgresql://db.example.com/ops"),
        (f"postgresql://me:{SECRET}@db.example.com:5433/ops", "postgresql://db.example.com:5433/ops"),
        (f"postgres://me:{SECRET}@[::1]/ops", "postgresql://[::1]/ops"),
        (f"postgresql://db/ops?password={SECRET}&sslpassword={SECRET}", "postgresql://db/ops"),
        ("postgresql:///ops?host=/var/run/postgresql", "postgresql:///ops"),
        ("postgresql://?service=models", "postgresql:///?service=models"),
    ],
)
def test_a_url_has_a_name_without_its_password(url: str, name: str) -> None:
    settings = Settings.parse(url)
    assert settings.name == name
    assert SECRET not in f"{settings.url} {settings.url!r} {settings.name}"
    assert settings.url.drivername == "postgresql+psycopg"


def test_the_password_still_reaches_the_driver() -> None:
    assert Settings.parse(f"postgresql://me:{SECRET}@db/ops").url.password == SECRET
    assert Settings.parse(f"postgresql://me@db/ops?password={SECRET}").connect["password"] == SECRET


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ("pool_size=1", "pool_size is a whole number from 2 on"),
        ("pool_size=many", "pool_size is a whole number from 2 on"),
        ("prepare_threshold=-1", "prepare_threshold is a whole number from 0 on or none"),
        ("pool_size=3&pool_size=4", "pool_size is given more than once"),
    ],
)
def test_an_option_that_can_not_be_used_is_refused(options: str, reason: str) -> None:
    with pytest.raises(errors.InvalidSetting, match=reason):
        Settings.parse(f"postgresql://db/ops?{options}")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ("colour=red", 'invalid connection option "colour"'),
        ("sslmode=nope", 'invalid sslmode value: "nope"'),
        ("target_session_attrs=blue", 'invalid target_session_attrs value: "blue"'),
        ("connect_timeout=soon", "bad value for connect_timeout"),
        ("ssl_min_protocol_version=9", 'invalid "ssl_min_protocol_version" value'),
        ("port=99999", 'invalid port number: "99999"'),
        ("port=http", "each port is a number"),
        ("host=a&host=b&host=c&port=1&port=2", "each port is a number, and hosts and ports are as many"),
    ],
)
def test_an_option_that_libpq_refuses_is_the_mistake_of_whoever_gave_it(options: str, reason: str) -> None:
    with pytest.raises(errors.InvalidSetting, match=reason), closing(Database(f"postgresql:///ops?{options}")) as found:
        found.acquire()


def test_options_replace_the_defaults() -> None:
    settings = Settings.parse("postgresql://db/ops?prepare_threshold=none&pool_size=7&connect_timeout=3")
    assert settings.connect["prepare_threshold"] is None
    assert settings.pool_size == 7
    assert "connect_timeout" not in settings.connect
    assert settings.url.query["connect_timeout"] == "3"


@pytest.mark.parametrize("driver", ["psycopg2", "asyncpg", "pg8000"])
def test_another_driver_is_refused(driver: str) -> None:
    with pytest.raises(errors.InvalidSetting, match=r"use postgresql\+psycopg://USER@HOST/DATABASE"):
        Database(f"postgresql+{driver}://db/ops")


@pytest.mark.parametrize(
    ("port", "database", "password", "reason"),
    [
        (1, "postgres", SECRET, "connection failed"),
        (None, "postgres", SECRET, "PostgreSQL refuses the user or the password|password authentication failed"),
        (None, "nowhere", None, 'no such database|database "nowhere" does not exist'),
    ],
)
def test_a_server_that_can_not_be_used_is_an_error_without_the_password(
    postgres_url: str, port: int | None, database: str, password: str | None, reason: str
) -> None:
    right = re.search(r":(\w+)@", postgres_url)
    assert right is not None
    url = re.sub(r"/\w+$", f"/{database}", postgres_url)
    url = url.replace(right[1], password or right[1])
    url = re.sub(r":\d+/", f":{port}/", url) if port else url
    with closing(Database(url)) as found, pytest.raises(errors.DatabaseFailed, match=reason) as caught:
        found.acquire()
    assert SECRET not in str(caught.value)
    assert right[1] not in str(caught.value)
    assert "\n" not in caught.value.text
    assert caught.value.advice.startswith("check that the server runs, the URL of the database, and the password")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:hunt@er2@db/ops",
        "postgresql://me:hunt@er2/er2@db/ops",
        "postgresql://me:hunt@er2?er2@db/ops",
        "postgresql://me:hunt:er2@db:port/ops",
        "host=db password=hunter2",
    ],
)
def test_a_url_whose_password_is_not_escaped_is_refused_without_a_part_of_it(url: str) -> None:
    with pytest.raises(errors.InvalidSetting, match="the text is not a database URL: ") as caught:
        Settings.parse(url)
    assert not re.search("hunt|er2", f"{caught.value.text} {caught.value.advice} {caught.value.details}")


def test_the_driver_that_is_missing_is_named_with_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(errors.LibraryMissing, match="psycopg") as caught:
        Database("postgresql://db/ops")
    assert caught.value.advice == "pip install 'opstore[postgres]'"


@pytest.mark.slow
def test_a_daemon_on_sqlite_imports_nothing_of_postgresql() -> None:
    code = """
import sys
from opstore_daemon import daemon
from opstore_daemon.testing import serving
with serving():
    pass
print(sorted(name for name in sys.modules if "psycopg" in name or "postgres" in name))
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert ran.stdout == "[]\n"
