"""Instances of the file system: which are shared, what they have in common, and that no token leaves them."""

import asyncio
import importlib.metadata
import os
import pickle
import tomllib
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import fsspec
import pytest
from upath import UPath

from opstore_cli import OpStoreClient
from opstore_cli.fsspec import OpStoreFileSystem
from opstore_cli.upath import OpStorePath
from opstore_daemon.http_server.listener import Listener
from opstore_daemon.protocol import errors
from tests.cli.fsspec.conftest import CountingClient
from tests.support.markdown import ROOT
from tests.support.servers import ADMIN_TOKEN

URL = "http://127.0.0.1:1"
SECRET = "a-secret-of-some-length"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [name for name in os.environ if name.startswith("OPSTORE_") and name != "OPSTORE_CACHE"]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("OPSTORE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_the_entry_points_lead_to_the_classes() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for group, kind in (("fsspec.specs", OpStoreFileSystem), ("universal_pathlib.implementations", OpStorePath)):
        point = importlib.metadata.EntryPoint("opstore", project["entry-points"][group]["opstore"], group)
        assert point.load() is kind


def test_equal_options_share_an_instance_and_others_do_not() -> None:
    one = fsspec.filesystem("opstore", url=URL, token=SECRET)
    assert fsspec.filesystem("opstore", url=URL, token=SECRET) is one
    for options in ({"url": URL}, {"url": URL, "token": SECRET + "2"}, {"url": URL, "token": SECRET, "tag": "best"}):
        assert fsspec.filesystem("opstore", **options) is not one
    assert fsspec.filesystem("opstore", url=URL, token=SECRET, skip_instance_cache=True) is not one


def test_each_client_has_an_instance_of_its_own(client: CountingClient) -> None:
    first, second = OpStoreClient(URL, token=SECRET), OpStoreClient(URL, token=SECRET + "2")
    assert repr(first) == repr(second)
    assert [OpStoreFileSystem(client=each).client for each in (first, second)] == [first, second]


def test_no_token_is_in_what_can_be_shown_or_sent(home: Path) -> None:
    fs = fsspec.filesystem("opstore", url=URL, token=SECRET)
    path = UPath("opstore://pca", url=URL, token=SECRET)
    shown = [repr(fs), str(fs), fs.to_json(), str(fs.to_dict()), str(fs.storage_options), fs._fs_token, repr(fs.client)]
    shown += [repr(path), str(path), repr(fsspec.open("opstore://pca", url=URL, token=SECRET))]
    assert not [each for each in shown if SECRET in each]
    assert fs.storage_options == {"url": URL}
    home.mkdir(mode=0o700)
    assert SECRET.encode() not in pickle.dumps(fs)


def _copy(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))  # noqa: S301 - ours


def _read(fs: OpStoreFileSystem) -> bytes:
    return bytes(fs.cat("pca"))


def test_another_process_reads_with_the_token_of_this_one(listener: Listener, home: Path) -> None:
    home.mkdir(mode=0o700)
    fs = fsspec.filesystem("opstore", url=listener.url, token=ADMIN_TOKEN)
    fs.pipe("pca", b"components")
    again = _copy(fs)
    assert again.cat("pca") == b"components"
    shared = fsspec.filesystem("opstore", url=listener.url)
    assert _copy(shared) is shared
    with fs.open("pca") as file:
        file.read(4)
        with _copy(file) as other:
            assert other.read() == b"onents"
    with ProcessPoolExecutor(1, get_context("fork")) as pool:
        assert pool.submit(_read, fs).result() == b"components"


def test_options_that_exclude_each_other_are_refused(client: CountingClient) -> None:
    for options in (
        {"client": client, "url": URL},
        {"client": client, "token": SECRET},
        {"url": URL, "endpoint_url": URL},
    ):
        with pytest.raises(errors.InvalidRequest, match="pass either"):
            OpStoreFileSystem(**options)
    assert OpStoreFileSystem(endpoint_url=URL, token=SECRET).client.settings.url == URL


def test_an_empty_url_is_not_the_local_daemon() -> None:
    with pytest.raises(errors.InvalidSetting):
        OpStoreFileSystem(url="")


def test_an_unknown_option_is_refused_with_those_that_exist() -> None:
    with pytest.raises(errors.InvalidRequest, match="has no option 'anon'; its options are bump, client, endpoint_url"):
        fsspec.filesystem("opstore", anon=True)


def test_async_callers_use_the_wrapper_of_fsspec(client: CountingClient, fs: OpStoreFileSystem) -> None:
    wrapper = pytest.importorskip("fsspec.implementations.asyn_wrapper")  # since fsspec 2024.12
    client.push("pca", b"components")

    async def read() -> bytes:
        return bytes(await wrapper.AsyncFileSystemWrapper(fs, asynchronous=True)._cat_file("pca"))

    assert asyncio.run(read()) == b"components"
