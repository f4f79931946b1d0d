"""opstore_daemon.testing: a real daemon in other people's tests, with pytest's fixtures and without pytest."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from opstore_cli import OpStoreClient
from opstore_daemon.protocol import errors
from opstore_daemon.testing import Serving, serving
from tests.support.markdown import ROOT, blocks, read


@pytest.mark.parametrize("where", ["in files", "in memory"])
def test_a_daemon_is_served_while_the_context_lasts(where: str, tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "folder" if where == "in files" else None
    with serving(folder) as running, OpStoreClient(running.url, token=running.token) as client:
        assert client.push("pca", b"the bytes").version == "1.0.0"
        assert client.pull("pca") == b"the bytes"
        assert running.flask is running.server.flask
        assert running.flask.test_client().get("/healthz", base_url=running.url).status_code == 200
    with pytest.raises(requests.ConnectionError):
        requests.get(running.url, timeout=10)
    files = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert ("opstore.db" in files) == (where == "in files")


def test_a_folder_that_was_served_before_has_what_it_had(tmp_path: Path) -> None:
    for number in ("1.0.0", "1.0.1"):
        with serving(str(tmp_path)) as running, OpStoreClient(running.url, token=running.token) as client:
            assert client.push("pca", number.encode()).version == number


def test_several_are_served_at_once_and_know_nothing_of_each_other() -> None:
    with serving(token="one") as one, serving(token="two") as two:
        with OpStoreClient(one.url, token="one") as client:
            client.push("pca", b"the bytes")
        with OpStoreClient(two.url, token="two") as client:
            assert client.ops() == []
        with OpStoreClient(two.url, token="one") as client, pytest.raises(errors.ProofFailed):
            client.ops()


def test_further_tokens_have_their_scopes() -> None:
    with serving(tokens={"reader": "read"}) as running, OpStoreClient(running.url, token="reader") as client:
        assert client.ops() == []
        with pytest.raises(errors.ScopeRequired):
            client.push("pca", b"the bytes")


def test_it_ends_where_the_test_fails() -> None:
    with pytest.raises(ZeroDivisionError), serving() as running:
        raise ZeroDivisionError
    with pytest.raises(requests.ConnectionError):
        requests.get(running.url, timeout=10)


@pytest.mark.slow
def test_commands_and_clients_find_it_by_its_environment(
    opstore_server: Serving, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPSTORE_HOME", str(tmp_path / "home"))
    for name, value in opstore_server.environ.items():
        monkeypatch.setenv(name, value)
    with OpStoreClient() as client:
        client.push("pca", b"the bytes")
    command = [sys.executable, "-P", "-m", "opstore_cli", "ops", "-q"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "pca\n"
    assert not (tmp_path / "home").exists()


def test_the_fixtures_are_a_daemon_on_files_and_one_in_memory(
    opstore_server: Serving, opstore_memory_server: Serving, tmp_path: Path
) -> None:
    assert opstore_server.url != opstore_memory_server.url
    assert opstore_server.server.db.path == tmp_path / "opstore" / "opstore.db"
    assert opstore_memory_server.server.db.path is None


@pytest.mark.slow
def test_the_fixtures_are_there_for_whoever_names_the_plugin(tmp_path: Path) -> None:
    (text,) = [
        block.text for block in blocks(read(ROOT / "docs/python.md"), "python") if "pytest_plugins" in block.text
    ]
    plugins, test = re.split(r"(?=^def test_)", text, maxsplit=1, flags=re.MULTILINE)
    (tmp_path / "conftest.py").write_text(plugins)
    (tmp_path / "test_mine.py").write_text(f"from opstore_cli import OpStoreClient\n\n\n{test}")
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("OPSTORE_", "PYTEST_"))}
    ran = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-W",
            "error",
            "--rootdir",
            tmp_path,
            tmp_path,
        ],
        cwd=tmp_path,
        # Other plugins take a second to import.
        env={**environ, "OPSTORE_HOME": str(tmp_path / "home"), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout
    assert f"{test.count('def test_')} passed" in ran.stdout


@pytest.mark.slow
def test_without_pytest_serving_is_there_all_the_same() -> None:
    script = """
import sys
sys.modules["pytest"] = None
from opstore_daemon.testing import serving
with serving() as running:
    print(running.url)
print(sorted(name for name in sys.modules if name.startswith("opstore_cli")))
"""
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    url, imported = ran.stdout.splitlines()
    assert (url.startswith("http://127.0.0.1:"), imported) == (True, "[]")
