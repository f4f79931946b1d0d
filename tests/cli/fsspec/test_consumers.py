"""The packages that read and write through fsspec."""

import gc
import pickle
import sys
from pathlib import Path
from typing import Any

import fsspec
import joblib
import numpy as np
import pandas as pd
import pytest
from fsspec.registry import _registry as loaded
from fsspec.registry import known_implementations
from upath import UPath
from upath._flavour import WrappedFileSystemFlavour
from upath.registry import get_upath_class, register_implementation

from opstore_cli.fsspec import OpStoreFileSystem
from opstore_cli.upath import OpStorePath
from tests.cli.fsspec.conftest import CountingClient

FRAME = pd.DataFrame({"a": [1, 2, 3], "b": ["x", "y", "é"]})


@pytest.fixture
def options(client: CountingClient) -> dict[str, Any]:
    return {"client": client}


def test_pandas_reads_and_writes_csv(client: CountingClient, options: dict[str, Any]) -> None:
    FRAME.to_csv("opstore://table", index=False, storage_options={**options, "tag": "best"})
    FRAME.assign(a=0).to_csv("opstore:///table", index=False, storage_options=options)
    for path, frame in [("table@best", FRAME), ("table@1.0.0", FRAME), ("table", FRAME.assign(a=0))]:
        pd.testing.assert_frame_equal(pd.read_csv(f"opstore://{path}", storage_options=options), frame)
    pd.testing.assert_frame_equal(pd.read_csv("opstore://table@==1.0.*", storage_options=options), FRAME.assign(a=0))
    FRAME.to_csv("opstore://table.csv.gz", index=False, storage_options=options)
    assert client.pull("table.csv.gz")[:2] == b"\x1f\x8b"
    pd.testing.assert_frame_equal(pd.read_csv("opstore://table.csv.gz", storage_options=options), FRAME)
    FRAME.to_pickle("opstore://frame", storage_options=options)
    read = pd.read_pickle("opstore://frame", storage_options=options)  # noqa: S301 - ours
    pd.testing.assert_frame_equal(read, FRAME)


def test_pandas_that_fails_stores_nothing(client: CountingClient, options: dict[str, Any]) -> None:
    with pytest.raises(UnicodeEncodeError):
        FRAME.to_csv("opstore://table", encoding="ascii", storage_options=options)
    with pytest.raises(FileNotFoundError, match="there is no op table"):
        pd.read_csv("opstore://table", storage_options=options)


def test_pandas_reads_and_writes_parquet(client: CountingClient, options: dict[str, Any]) -> None:
    pytest.importorskip("pyarrow")
    FRAME.to_parquet("opstore://table", storage_options=options)
    pd.testing.assert_frame_equal(pd.read_parquet("opstore://table@1.0.0", storage_options=options), FRAME)
    wide = pd.DataFrame({name: np.random.default_rng(1).random(200_000) for name in "abcd"})
    wide.to_parquet("opstore://wide", storage_options=options)
    column = pd.read_parquet("opstore://wide", columns=["b"], storage_options={**options, "whole": False})
    pd.testing.assert_frame_equal(column, wide[["b"]])
    assert client.received < (client.show("wide").size or 0) * 0.6


def test_joblib_and_numpy_read_and_write_files(client: CountingClient, options: dict[str, Any]) -> None:
    weights = np.arange(1000.0)
    for compress in (0, 3):
        with fsspec.open("opstore://forest", "wb", **options) as file:
            joblib.dump({"weights": weights}, file, compress=compress)
        with fsspec.open("opstore://forest", "rb", **options) as file:
            np.testing.assert_array_equal(joblib.load(file)["weights"], weights)
    with fsspec.open("opstore://arrays", "wb", **options) as file:
        np.savez(file, weights=weights)
    for whole in (None, False):
        with fsspec.open("opstore://arrays", whole=whole, **options) as file, np.load(file) as arrays:
            np.testing.assert_array_equal(arrays["weights"], weights)


def test_an_object_that_joblib_can_not_store_makes_no_version(client: CountingClient, options: dict[str, Any]) -> None:
    with (
        pytest.raises((pickle.PicklingError, AttributeError, TypeError)),
        fsspec.open("opstore://forest", "wb", **options) as file,
    ):
        joblib.dump([np.arange(1000), lambda: None], file)
    assert not OpStoreFileSystem(**options).exists("forest")


def test_paths_of_universal_pathlib_read_write_and_list(
    client: CountingClient, options: dict[str, Any], folder: Path
) -> None:
    path = UPath("opstore://pca", **options)
    assert type(path) is OpStorePath
    assert path.write_bytes(b"components")
    client.push("tokenizer", folder)
    assert (UPath("opstore://pca@>=1,<2", **options)).read_bytes() == b"components"
    vocabulary = UPath("opstore://tokenizer@1.0.0", **options) / "vocab.txt"
    assert (vocabulary.read_text(), vocabulary.suffix, vocabulary.parent.name) == ("a\nb\n", ".txt", "tokenizer@1.0.0")
    assert (vocabulary.is_file(), vocabulary.is_dir(), vocabulary.exists()) == (True, False, True)
    assert vocabulary.stat().st_size == 4
    assert vocabulary.stat().st_mtime == client.show("tokenizer").registered_at.timestamp()
    assert [str(each) for each in UPath("opstore://", **options).iterdir()] == ["opstore://pca", "opstore://tokenizer"]
    assert sorted(each.name for each in vocabulary.parent.iterdir()) == ["deep", "merges", "vocab.txt"]
    assert [each.name for each in vocabulary.parent.glob("**/*.json")] == ["n.json"]
    assert [str(each) for each in UPath("opstore://", **options).glob("pca@*")] == ["opstore://pca@1.0.0"]
    path.parent.mkdir(parents=True, exist_ok=True)
    for refused in (path.parent.mkdir, path.mkdir):
        with pytest.raises(PermissionError, match="a folder can't be made"):
            refused()
    with pytest.raises(PermissionError, match="a stored version is not deleted"):
        path.unlink()
    with path.open("w") as file:
        file.write("text")
    assert path.read_text() == "text"


@pytest.mark.parametrize("base", ["tokenizer", "tokenizer@best", "tokenizer@>=1,<2", "tokenizer@1.0.0"])
def test_a_pattern_finds_paths_that_begin_as_the_path_it_was_asked_of(
    client: CountingClient, options: dict[str, Any], folder: Path, base: str
) -> None:
    client.push("tokenizer", folder, tags=["best"])
    root = UPath(f"opstore://{base}", **options)
    deep = root / "deep"
    for found in (root.glob("**/*.json"), root.rglob("*.json"), deep.glob("*/*"), deep.rglob("n*")):
        (path,) = found
        assert (str(path), path.read_text()) == (f"opstore://{base}/deep/er/n.json", "{}")
        assert str(path.relative_to(root)) == "deep/er/n.json"
    assert [str(path) for path in root.glob("tokenizer@*")] == ["opstore://tokenizer@1.0.0"] * (base == "tokenizer")


def test_a_path_is_the_first_that_uses_the_file_system(
    client: CountingClient, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    # As the entry points leave it: both classes are known by their names, and not loaded.
    monkeypatch.delitem(loaded, "opstore")
    monkeypatch.delitem(sys.modules, "opstore_cli.upath")
    monkeypatch.setitem(known_implementations, "opstore", {"class": "opstore_cli.fsspec.OpStoreFileSystem"})
    register_implementation("opstore", "opstore_cli.upath.OpStorePath", clobber=True)
    get_upath_class.cache_clear()  # type: ignore[attr-defined]
    WrappedFileSystemFlavour.from_protocol.cache_clear()
    path = UPath("opstore://pca", **options)
    path.write_bytes(b"components")
    assert (path.path, type(path).__name__, client.pull("pca")) == ("pca", "OpStorePath", b"components")


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("protocol", ["simplecache", "filecache", "blockcache"])
def test_the_caches_of_fsspec_work_on_top(
    client: CountingClient, options: dict[str, Any], tmp_path: Path, protocol: str
) -> None:
    client.push("pca", b"components")
    chained = {"opstore": options, protocol: {"cache_storage": str(tmp_path / "cache")}}
    for data in (b"components", b"components", b"others"):
        if data == b"others":
            client.push("pca", data)
            chained[protocol]["cache_storage"] = str(tmp_path / "cache2")
        with fsspec.open(f"{protocol}::opstore://pca", **chained) as file:
            assert file.read() == data
    gc.collect()  # blockcache does not close the files that it maps
    if protocol == "simplecache":
        assert fsspec.open_local("simplecache::opstore://pca@1.0.0", **chained).startswith(str(tmp_path / "cache2"))


def test_a_file_cache_notices_a_new_version(client: CountingClient, options: dict[str, Any], tmp_path: Path) -> None:
    fs = fsspec.filesystem(
        "filecache", target_protocol="opstore", target_options=options, cache_storage=str(tmp_path), check_files=True
    )
    for data in (b"one", b"two!"):
        client.push("pca", data)
        assert fs.cat("pca") == data


def test_many_files_open_at_once(client: CountingClient, options: dict[str, Any]) -> None:
    for data in (b"one", b"two"):
        client.push("pca", data)
    with fsspec.open_files("opstore://pca@*", **options) as files:
        assert [file.read() for file in files] == [b"one", b"two"]
    assert OpStoreFileSystem(**options).cat(["pca@1.0.0", "pca"]) == {"pca@1.0.0": b"one", "pca": b"two"}
