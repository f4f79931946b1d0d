"""Folders whose links are followed: each link is replaced by what it leads to, wherever that is."""

import os
import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from opstore_cli import OpStoreClient
from opstore_cli.folders import packing
from opstore_cli.folders.packing import PackedFolder
from opstore_cli.transfer.source import digest_of_path, open_source
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.digests import Digest
from tests.support.fake_daemon import FakeDaemon

BLOBS = {"config.json": b"{}", "model.safetensors": b"weights" * 30_000, "1_Pooling/config.json": b"pooling"}


@pytest.fixture
def snapshot(tmp_path: Path) -> Path:
    """A snapshot folder as huggingface_hub makes it: its files are links to ../../blobs."""
    hub = tmp_path / "models--bert"
    folder = hub / "snapshots" / "86b5e0934494bd15c9632b12f734a8a67f723594"
    (hub / "blobs").mkdir(parents=True)
    for number, (name, content) in enumerate(BLOBS.items()):
        blob = hub / "blobs" / (f"{number}" * 20)
        blob.write_bytes(content)
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).symlink_to(os.path.relpath(blob, (folder / name).parent))
    return folder


def digest(folder: Path, change: Callable[[], object] = lambda: None) -> Digest:
    with open_source(folder, follow_links=True) as source:
        found = source.digest(lambda _: None)
        change()
        source.check_unchanged()
        return found


def refused(folder: Path, change: Callable[[], object] = lambda: None) -> str:
    with pytest.raises(errors.FileRefused) as caught:
        digest(folder, change)
    return f"{os.path.relpath(str(caught.value.details['path']), folder)}: {caught.value.details['reason']}"


def test_a_snapshot_of_hugging_face_has_the_digest_of_its_real_files(snapshot: Path, tmp_path: Path) -> None:
    real = tmp_path / "real"
    shutil.copytree(snapshot, real)
    assert not any(path.is_symlink() for path in real.rglob("*"))
    assert digest(snapshot) == digest_of_path(real)


def test_without_the_option_the_link_its_target_and_the_option_are_named(snapshot: Path) -> None:
    name, target = "model.safetensors", "../../blobs/" + "1" * 20
    (snapshot / "config.json").unlink()
    shutil.rmtree(snapshot / "1_Pooling")
    with pytest.raises(errors.FileRefused) as caught, open_source(snapshot):
        pass
    assert caught.value.text == f"{snapshot}/{name}: the link's target {target!r} is outside the folder"
    does = "stores what the links lead to, if you trust the folder"
    assert (caught.value.advice, caught.value.python) == (f"--follow-links {does}", f"follow_links=True {does}")


def test_the_client_follows_links_on_request(
    daemon: FakeDaemon, client: OpStoreClient, snapshot: Path, tmp_path: Path
) -> None:
    with pytest.raises(errors.FileRefused):
        client.push("pca", snapshot)
    daemon.format = "folder"
    client.push("pca", snapshot, follow_links=True)
    client.pull("pca", tmp_path / "pulled")
    assert {name: (tmp_path / "pulled" / name).read_bytes() for name in BLOBS} == BLOBS


def test_links_inside_of_the_folder_links_to_links_and_hard_links_become_files(tmp_path: Path) -> None:
    real, linked = tmp_path / "real", tmp_path / "linked"
    for folder in (real, linked):
        (folder / "sub").mkdir(parents=True)
        (folder / "sub" / "file").write_bytes(b"bytes")
        (folder / "sub" / "file").chmod(0o755)
    (linked / "a").symlink_to("b")
    (linked / "b").symlink_to(linked / "sub" / "file")
    os.link(linked / "sub" / "file", linked / "hard")
    (linked / "folder").symlink_to("sub")
    for name in ("a", "b", "hard"):
        shutil.copy(real / "sub" / "file", real / name)
    shutil.copytree(real / "sub", real / "folder")
    assert digest(linked) == digest_of_path(real)


def test_two_links_to_one_folder_are_not_a_cycle(tmp_path: Path) -> None:
    root, shared = tmp_path / "root", tmp_path / "shared"
    root.mkdir()
    shared.mkdir()
    (shared / "file").write_bytes(b"x")
    (root / "one").symlink_to(shared)
    (root / "two").symlink_to(shared)
    paths = [entry.path for entry in PackedFolder(str(root), follow_links=True).entries]
    assert paths == [b"one", b"one/file", b"two", b"two/file"]


@pytest.mark.parametrize("target", [".", "..", "../../root", "../deep", "/"])
def test_a_cycle_is_refused(tmp_path: Path, target: str) -> None:
    root = tmp_path / "root"
    (root / "deep").mkdir(parents=True)
    (root / "deep" / "link").symlink_to(root if target == "/" else target)
    assert "which it is in: a cycle" in refused(root)


def test_a_cycle_over_folders_outside_is_refused(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    (root / "out").symlink_to(outside)
    (outside / "back").symlink_to(outside)
    assert refused(root) == f"out/back: its link leads back to {root}/out, which it is in: a cycle"
    (outside / "back").unlink()
    (outside / "back").symlink_to(root)
    assert refused(root) == f"out/back: its link leads back to {root}, which it is in: a cycle"


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("nothing", "its link leads to 'nothing', which does not exist"),
        ("link", "Too many levels of symbolic links"),
        ("/dev/null", "it is a link to a device"),
        ("pipe", "it is a link to a pipe"),
    ],
)
def test_links_to_nothing_to_themselves_and_to_special_files_are_refused(
    tmp_path: Path, target: str, reason: str
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    os.mkfifo(tmp_path / "pipe")
    (root / "link").symlink_to(tmp_path / target if target == "pipe" else target)
    assert refused(root) == f"link: {reason}"


def test_a_link_that_changes_while_it_is_read_is_refused(snapshot: Path) -> None:
    link = snapshot / "config.json"

    def point(target: str) -> Callable[[], None]:
        def change() -> None:
            link.unlink()
            link.symlink_to(target)

        return change

    other = "../../blobs/" + "2" * 20
    assert refused(snapshot, point(other)) == "config.json: it changed while it was read"
    assert "does not exist" in refused(snapshot, point("nothing"))
    point(other)()
    with open_source(snapshot, follow_links=True) as source:
        point("../../blobs/" + "0" * 20)()
        with pytest.raises(errors.FileRefused, match="it changed while it was read"):
            source.digest(lambda _: None)


def test_folders_that_double_at_each_level_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "MAX_FOLLOWED", 1000)
    folders = [tmp_path / f"{number}" for number in range(31)]
    for folder in folders:
        folder.mkdir()
    for folder, below in pairwise(folders):
        (folder / "one").symlink_to(below)
        (folder / "two").symlink_to(below)
    assert "has more than 1000 entries" in refused(folders[0])
