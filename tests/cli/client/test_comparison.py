"""What differs between two versions, and the output of diff."""

import json
from pathlib import Path

import pytest

from opstore_cli.client import comparison
from opstore_cli.client.comparison import Difference, FileDifference
from opstore_cli.folders import listing
from opstore_daemon import OpStoreServer
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.comparison import ComparedField
from tests.cli.output.fakes import FakeClient, FakeSession, a_version
from tests.support.in_process import InProcessClient


@pytest.fixture
def client(memory_server: OpStoreServer) -> InProcessClient:
    return InProcessClient(memory_server)


@pytest.fixture
def folders(client: InProcessClient, tmp_path: Path) -> InProcessClient:
    """Return a client of a store with two versions of a folder."""
    root = tmp_path / "folder"
    (root / "deep").mkdir(parents=True)
    for name, content in {"gone": "1", "same": "2", "deep/other": "3", "moved": "4"}.items():
        (root / name).write_text(content)
    client.push("model", root)
    (root / "gone").unlink()
    (root / "deep" / "other").write_text("5")
    (root / "deep" / "new").write_text("new")
    (root / "moved").chmod(0o755)
    client.push("model", root)
    return client


def test_the_fields_that_differ_are_listed(client: InProcessClient) -> None:
    client.push("pca", b"one", labels={"a": "1", "b": "2"}, libraries={"numpy": "1"}, tags="dev", message="first")
    client.push("pca", b"longer", labels={"a": "1", "b": "3", "c": ""}, libraries={"numpy": "2"}, bump="minor")
    found = client.diff("pca@1.0.0", "pca")
    fields = {each.field: (each.one, each.other) for each in found.fields}
    assert fields.keys() == {
        *("version", "registered_at", "size", "message", "label b", "label c", "library numpy"),
        *("tags", "minor", "patch", "digest"),
    }
    assert fields["size"] == ("3", "6")
    assert fields["label b"] == ("2", "3")
    assert fields["label c"] == (None, "")
    assert fields["tags"] == ("dev", None)
    assert found.files is None
    assert client.diff("pca", "pca@1.1.0").fields == ()


def test_the_files_of_folders_are_compared_by_their_verified_bytes(folders: InProcessClient) -> None:
    found = folders.diff("model@1.0.0", "model")
    assert found.files == (
        FileDifference(path="deep/new", change="added", one=None, other=3),
        FileDifference(path="deep/other", change="changed", one=1, other=1),
        FileDifference(path="gone", change="removed", one=1, other=None),
        FileDifference(path="moved", change="changed", one=1, other=1),
    )
    assert folders.diff("model", "model").files == ()
    assert folders.diff("model@1.0.0", "model", files=False).files is None


def test_large_folders_are_compared_only_if_asked_for(
    folders: InProcessClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparison, "MAX_BYTES", 10)
    assert folders.diff("model@1.0.0", "model").files is None
    assert len(folders.diff("model@1.0.0", "model", files=True).files or ()) == 4
    monkeypatch.setattr(listing, "MAX_ENTRIES", 2)
    with pytest.raises(errors.FolderRefused, match="more than 2 entries"):
        folders.diff("model@1.0.0", "model", files=True)


def test_a_folder_that_is_not_in_our_form_is_refused(client: InProcessClient) -> None:
    client.push("model", b"no folder", format="folder")
    client.push("model", b"no folder either", format="folder")
    with pytest.raises(errors.FolderRefused, match=r"model@1\.0\.0 can't be unpacked"):
        client.diff("model@1.0.0", "model")


FOUND = Difference(
    one=a_version(format="folder"),
    other=a_version("1.1.0", format="folder"),
    fields=(ComparedField(field="label a", one=None, other="x\ty"),),
    files=(FileDifference(path="a\x1b", change="changed", one=1, other=2),),
)


def run(*words: str, result: object, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    from opstore_cli.main import main

    session = FakeSession()
    session.fake = FakeClient({"diff": result})
    return (main(["diff", "pca@1.0.0", "pca", *words], session), *capsys.readouterr())


def test_diff_prints_a_line_for_each_difference(capsys: pytest.CaptureFixture[str]) -> None:
    rows = "label a\t-\tx\\ty\nfile a\\x1b (changed)\t1\t2\n"
    assert run(result=FOUND, capsys=capsys) == (0, rows, "")
    assert run("-q", result=FOUND, capsys=capsys) == (0, "label a\na\\x1b\n", "")
    document = json.loads(run("--json", result=FOUND, capsys=capsys)[1])
    assert document["files"] == [{"path": "a\x1b", "change": "changed", "one": 1, "other": 2}]
    large = Difference(one=FOUND.one, other=FOUND.other, fields=(), files=None)
    note = "the files were not compared: the folders have more than 1 GiB; --files compares them\n"
    assert run(result=large, capsys=capsys) == (0, "", note)
    assert run("--no-files", result=large, capsys=capsys) == (0, "", "")
