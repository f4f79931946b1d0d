"""What the file system lists: ops, their versions, the files of a folder."""

from pathlib import Path
from typing import Any

import pytest

from opstore_cli.client.warnings import YankedWarning
from opstore_cli.fsspec import OpStoreFileSystem
from opstore_daemon.protocol import errors
from tests.cli.fsspec.conftest import CountingClient


@pytest.fixture
def stored(client: CountingClient, folder: Path) -> CountingClient:
    client.push("pca", b"one")
    client.push("pca", b"two!", tags="best")
    client.push("tokenizer", folder)
    client.register("cleaner", fields={"major": {"words": "en"}})
    return client


def test_the_root_lists_ops_an_op_its_versions_and_a_folder_its_files(
    stored: CountingClient, fs: OpStoreFileSystem
) -> None:
    assert fs.ls("", detail=False) == ["cleaner", "pca", "tokenizer"]
    assert fs.ls("opstore://pca", detail=False) == ["pca@1.0.1", "pca@1.0.0"]
    assert fs.ls("cleaner", detail=False) == []  # without bytes, there is nothing to open
    assert fs.ls("pca@1.0.0", detail=False) == ["pca@1.0.0"]
    assert fs.ls("tokenizer@latest", detail=False) == [
        "tokenizer@latest/deep",
        "tokenizer@latest/merges",
        "tokenizer@latest/vocab.txt",
    ]
    assert fs.ls("tokenizer/deep", detail=False) == ["tokenizer/deep/er", "tokenizer/deep/merges.bin"]
    assert all(fs.cat(path) for path in fs.ls("pca", detail=False))


def test_info_describes_a_version_and_a_file(stored: CountingClient, fs: OpStoreFileSystem) -> None:
    record = stored.show("pca@best")
    assert fs.info("opstore:///pca@best") == {
        "name": "pca@best",
        "size": 4,
        "type": "file",
        "created": record.registered_at.timestamp(),
        "mtime": record.registered_at.timestamp(),
        "op": "pca",
        "version": "1.0.1",
        "digest": record.digest,
    }
    found = fs.info("tokenizer@1.0.0/merges")
    assert (found["type"], found["size"], found["member"]) == ("file", 3000, "deep/merges.bin")
    assert (
        fs.info("tokenizer")["type"] == fs.info("tokenizer/folder_link")["type"] == fs.info("")["type"] == "directory"
    )
    assert fs.created("pca@best") == fs.modified("pca@best") == record.registered_at
    assert (fs.size("pca"), fs.sizes(["pca@1.0.0", "pca"]), fs.du("pca")) == (4, [3, 4], 7)


@pytest.mark.parametrize("whole", [None, False], ids=["cache", "ranges"])
def test_walk_find_and_glob_see_everything_once(stored: CountingClient, whole: bool | None) -> None:
    fs = OpStoreFileSystem(client=stored, whole=whole)
    files = [
        "tokenizer@1.0.0/deep/er/n.json",
        "tokenizer@1.0.0/deep/merges.bin",
        "tokenizer@1.0.0/merges",
        "tokenizer@1.0.0/vocab.txt",
    ]
    assert fs.find("") == ["pca@1.0.0", "pca@1.0.1", *files]
    assert fs.find("tokenizer@1.0.0") == files
    assert fs.find("pca@1.0.0") == ["pca@1.0.0"]
    assert [path for path, _, _ in fs.walk("")] == [
        "", "cleaner", "pca", "tokenizer", "tokenizer@1.0.0", "tokenizer@1.0.0/deep", "tokenizer@1.0.0/deep/er",
    ]  # fmt: skip
    assert fs.glob("*") == ["cleaner", "pca", "tokenizer"]
    assert fs.glob("pca@*") == ["pca@1.0.0", "pca@1.0.1"]
    assert fs.glob("*@1.0.1") == ["pca@1.0.1"]
    assert fs.glob("pca@==1.0.*") == ["pca@1.0.1"]  # a selector, which selects one
    assert fs.glob("tokenizer/*.txt") == ["tokenizer@1.0.0/vocab.txt"]
    assert fs.glob("tokenizer@1.0.0/**/*.json") == ["tokenizer@1.0.0/deep/er/n.json"]
    assert fs.glob("nothing@==1.*") == fs.glob("nothing/*") == fs.glob("nothing@*") == []
    assert fs.cat("pca@==1.0.*") == b"two!"
    assert fs.cat("pca@*") == {"pca@1.0.0": b"one", "pca@1.0.1": b"two!"}


def test_a_folder_that_links_to_itself_is_walked_once(client: CountingClient, tmp_path: Path) -> None:
    root = tmp_path / "loop"
    (root / "a").mkdir(parents=True)
    (root / "a" / "up").symlink_to("..")
    (root / "a" / "one").symlink_to("two")
    (root / "a" / "two").symlink_to("one")
    (root / "a" / "file").touch()
    client.push("loop", root)
    for whole in (None, False):
        fs = OpStoreFileSystem(client=client, whole=whole)
        assert fs.find("loop@1.0.0") == ["loop@1.0.0/a/file"]
        assert fs.isfile("loop/a/up/a/up/a/file")
        assert not fs.exists("loop/a/one")


def test_a_walk_may_join_names_as_os_walk_does(stored: CountingClient, fs: OpStoreFileSystem) -> None:
    joined = [f"{path}/{name}" for path, _, names in fs.walk("pca") for name in names]
    assert joined == ["pca/pca@1.0.1", "pca/pca@1.0.0"]
    assert [fs.cat(path) for path in joined] == [b"two!", b"one"]


def test_what_is_not_there_is_a_file_not_found_error_with_advice(stored: CountingClient, fs: OpStoreFileSystem) -> None:
    for path, reason, advice in [
        ("pcaa", "there is no op pcaa", "did you mean pca?"),
        ("pca@9.9.9", "no version of pca matches 9.9.9", "client.versions('pca') lists the versions"),
        ("RandomForest", "'RandomForest' is not a name", "use random_forest"),
        ("cleaner@1.0.0", "cleaner@1.0.0 has no bytes: it is registered only", "client.versions('cleaner')"),
        ("pca/x", "pca@1.0.1 is a file, not a folder", ""),
        ("tokenizer/x", "tokenizer@1.0.0 has no such file", ""),
        ("tokenizer/vocab.txt/x", "tokenizer@1.0.0 has no such file", ""),
        ("tokenizer/dangling", "tokenizer@1.0.0 has no such file", ""),
    ]:
        with pytest.raises(FileNotFoundError) as missing:
            fs.open(path)
        assert isinstance(missing.value, errors.PathNotFound)
        assert reason in str(missing.value)
        assert advice in "".join(missing.value.__notes__)
        assert not fs.exists(path)
        assert not fs.isfile(path)
        assert not fs.isdir(path)


def test_exists_raises_what_is_no_answer(stored: CountingClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: Any, **__: Any) -> Any:
        raise errors.DaemonUnreachable(url="http://127.0.0.1:1", reason="connection refused")

    fs = OpStoreFileSystem(client=stored)
    monkeypatch.setattr(stored, "request", unreachable)
    for asked in (fs.exists, fs.isfile, fs.isdir, fs.info):
        with pytest.raises(errors.DaemonUnreachable):
            asked("pca")


def test_a_yanked_version_is_not_listed_and_opens_by_its_number_with_a_warning(
    stored: CountingClient, fs: OpStoreFileSystem
) -> None:
    stored.yank("pca@1.0.1", "leaks the target")
    assert fs.ls("pca", detail=False) == fs.glob("pca@*") == ["pca@1.0.0"]
    assert fs.cat("pca") == b"one"
    with pytest.warns(YankedWarning, match="leaks the target"):
        assert fs.cat("pca@1.0.1") == b"two!"


def test_a_name_of_the_content_changes_with_the_latest_version(stored: CountingClient, fs: OpStoreFileSystem) -> None:
    before = fs.ukey("pca"), fs.checksum("pca")
    assert (fs.ukey("pca"), fs.checksum("pca")) == before
    stored.push("pca", b"three")
    assert fs.ukey("pca") != before[0]
    assert fs.checksum("pca") != before[1]


def test_get_writes_files_and_folders(stored: CountingClient, fs: OpStoreFileSystem, tmp_path: Path) -> None:
    fs.get("pca@1.0.0", str(tmp_path / "new" / "pca.bin"))
    assert (tmp_path / "new" / "pca.bin").read_bytes() == b"one"
    fs.get("tokenizer", str(tmp_path / "copy"), recursive=True)
    found = {str(path.relative_to(tmp_path / "copy")) for path in (tmp_path / "copy").rglob("*") if path.is_file()}
    assert found == {"vocab.txt", "merges", "deep/merges.bin", "deep/er/n.json"}
    fs.get_file("tokenizer/vocab.txt", str(tmp_path / "vocab"))
    assert (tmp_path / "vocab").read_text() == "a\nb\n"
