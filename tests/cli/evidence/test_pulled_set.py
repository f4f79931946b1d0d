"""The files that a command reads: read-only, and known to have changed if they have."""

import os
import stat
from pathlib import Path

import pytest

from opstore_cli.evidence.environment import environment, shared_variables, variable
from opstore_cli.evidence.pulled_set import PulledSet, pull_set, temporary_folder
from opstore_cli.output.progress import NullDisplay
from opstore_cli.transfer.interruption import InterruptedTransfer
from opstore_daemon import OpStoreServer
from opstore_daemon.protocol import errors
from tests.support.in_process import InProcessClient


@pytest.fixture
def pulled(memory_server: OpStoreServer, tmp_path: Path) -> PulledSet:
    """A set of a file, a folder and an op without bytes, in a folder."""
    return pull(memory_server, tmp_path / "ops")


def pull(server: OpStoreServer, folder: Path, overwrite: bool = False) -> PulledSet:
    client = InProcessClient(server)
    source = folder.parent / "encoder"
    (source / "inner").mkdir(parents=True, exist_ok=True)
    (source / "inner" / "vocab").write_bytes(b"a\nb\n")
    client.push("encoder", str(source))
    client.push("forest", b"trees")
    client.register("scaler", fields={"major": {"columns": "2"}})
    versions = [client.show(op) for op in ("scaler", "encoder", "forest")]
    edges = [("scaler", "encoder"), ("encoder", "forest")]
    lock = folder.with_name("ops.lock")
    return pull_set(client.start_pull, "churn", edges, versions, folder, lock, NullDisplay(), overwrite=overwrite)


def test_files_are_read_only_copies_and_the_lock_is_beside_them(pulled: PulledSet) -> None:
    assert sorted(os.listdir(pulled.folder)) == ["encoder", "forest"]
    assert pulled.lock.read_text().count("[[version]]") == 3
    for path in (pulled.folder / "forest", pulled.folder / "encoder", pulled.folder / "encoder/inner/vocab"):
        found = path.stat()
        assert not found.st_mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH)
        assert path.is_dir() or found.st_nlink == 1
    assert pulled.changed() == []


def write(path: Path, data: bytes) -> None:
    path.chmod(0o644)
    path.write_bytes(data)


@pytest.mark.parametrize("change", ["write", "replace", "remove", "link", "add", "remove inner", "write inner"])
def test_a_change_is_found(pulled: PulledSet, change: str, tmp_path: Path) -> None:
    forest, encoder = pulled.paths["forest"], pulled.paths["encoder"]
    for folder in (encoder, encoder / "inner"):
        folder.chmod(0o755)
    if change == "write":
        found = forest.stat()
        write(forest, b"tREES")
        os.utime(forest, ns=(found.st_atime_ns, found.st_mtime_ns))  # the size and the time are those of before
    elif change in ("replace", "remove", "link"):
        forest.unlink()
        if change == "replace":
            forest.write_bytes(b"other")
        elif change == "link":
            (tmp_path / "same").write_bytes(b"trees")
            forest.symlink_to(tmp_path / "same")
    elif change == "add":
        (encoder / "inner" / "new").write_bytes(b"")
    elif change == "remove inner":
        (encoder / "inner" / "vocab").unlink()
    else:
        write(encoder / "inner" / "vocab", b"c\nd\n")
    assert pulled.changed() == ["encoder" if "inner" in change or change == "add" else "forest"]


def test_a_touched_file_with_the_same_bytes_has_not_changed(pulled: PulledSet) -> None:
    os.utime(pulled.paths["forest"])
    pulled.paths["forest"].chmod(0o644)
    (pulled.paths["encoder"] / "inner" / "vocab").chmod(0o600)
    assert pulled.changed() == []


@pytest.mark.parametrize("change", ["through the link", "link", "none"])
def test_a_change_behind_a_link_that_was_there_before_is_found(
    memory_server: OpStoreServer, tmp_path: Path, change: str
) -> None:
    (tmp_path / "mine").write_bytes(b"trees")
    (tmp_path / "ops").mkdir()
    (tmp_path / "ops" / "forest").symlink_to(tmp_path / "mine")
    pulled = pull(memory_server, tmp_path / "ops")
    if change == "through the link":
        (tmp_path / "mine").write_bytes(b"other")
    elif change == "link":
        pulled.paths["forest"].unlink()
        pulled.paths["forest"].write_bytes(b"trees")
    assert pulled.changed() == ([] if change == "none" else ["forest"])


def test_files_that_nobody_can_reach_any_more_have_changed(pulled: PulledSet, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: object, **_: object) -> None:  # root may enter any folder
        raise PermissionError(13, "Permission denied", str(path))

    with monkeypatch.context() as patched:
        for name in ("stat", "lstat", "open", "scandir"):
            patched.setattr(os, name, refuse)
        changed = pulled.changed()
        pulled.release()
    assert changed == ["encoder", "forest"]


def test_the_folder_of_a_user_that_the_files_were_replaced_with_keeps_its_permissions(
    pulled: PulledSet, tmp_path: Path
) -> None:
    (tmp_path / "mine" / "encoder").mkdir(parents=True)
    (tmp_path / "mine" / "encoder").chmod(0o555)
    pulled.folder.rename(tmp_path / "moved")
    pulled.folder.symlink_to(tmp_path / "mine")
    pulled.release()
    assert stat.S_IMODE((tmp_path / "mine" / "encoder").stat().st_mode) == 0o555


def test_a_folder_that_stays_is_not_overwritten_unless_it_is_asked_for(
    memory_server: OpStoreServer, pulled: PulledSet
) -> None:
    InProcessClient(memory_server).push("forest", b"more trees")
    write(pulled.paths["forest"], b"mine")
    with pytest.raises(errors.OutputExists):
        pull(memory_server, pulled.folder)
    (pulled.folder.parent / "encoder" / "new").write_bytes(b"new")
    again = pull(memory_server, pulled.folder, overwrite=True)
    assert again.paths["forest"].read_bytes() == b"trees"
    assert (again.paths["encoder"] / "new").exists()
    again.release()
    assert os.access(again.paths["encoder"] / "inner", os.W_OK)


def test_another_lock_beside_the_folder_stays(memory_server: OpStoreServer, tmp_path: Path) -> None:
    first = pull(memory_server, tmp_path / "ops")
    deployed = first.lock.read_text().replace('pipeline = "churn"', 'pipeline = "live"')
    first.lock.write_text(deployed)
    with pytest.raises(errors.OutputExists, match=r"ops\.lock"):
        pull(memory_server, tmp_path / "ops")
    assert first.lock.read_text() == deployed
    pull(memory_server, tmp_path / "ops", overwrite=True)
    assert first.lock.read_text() != deployed


def test_a_lock_that_is_none_stays(memory_server: OpStoreServer, tmp_path: Path) -> None:
    (tmp_path / "ops.lock").write_text("mine\n")
    with pytest.raises(errors.FileRefused):
        pull(memory_server, tmp_path / "ops")
    assert not (tmp_path / "ops").exists()


def test_a_temporary_folder_goes_with_all_that_is_in_it() -> None:
    held: list[str] = []

    def interrupted() -> Path:
        with temporary_folder(lambda: held.append("held"), held.append) as folder:
            made.append(folder)
            (folder / "ops" / "inner").mkdir(parents=True)
            (folder / "ops" / "inner" / "file").write_bytes(b"x")
            (folder / "ops" / "link").symlink_to("/")
            for path in (folder / "ops" / "inner" / "file", folder / "ops" / "inner", folder / "ops"):
                path.chmod(0)
            raise InterruptedTransfer

    made: list[Path] = []
    with pytest.raises(KeyboardInterrupt) as caught:
        interrupted()
    assert not made[0].exists()
    assert held == ["held"]
    assert not isinstance(caught.value, InterruptedTransfer)  # there is nothing to resume


def test_a_temporary_folder_that_can_not_be_deleted_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []

    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("opstore_cli.evidence.pulled_set.remove_read_only", refuse)
    with temporary_folder(lambda: None, said.append) as folder:
        pass
    folder.rmdir()
    assert said == [f"the temporary folder {folder} could not be deleted: Permission denied"]


def test_a_command_gets_the_paths_and_nothing_of_an_outer_run(pulled: PulledSet) -> None:
    outer = {"PATH": "/bin", "OPSTORE_OP_OLD": "/old", "OPSTORE_DIR": "/old", "_OPSTORE_COMPLETE": "bash", "X": "y"}
    assert environment(outer, pulled, {"OPSTORE_URL": "http://host"}) == {
        "PATH": "/bin",
        "X": "y",
        "OPSTORE_URL": "http://host",
        "OPSTORE_DIR": str(pulled.folder),
        "OPSTORE_LOCK": str(pulled.lock),
        "OPSTORE_OP_ENCODER": str(pulled.folder / "encoder"),
        "OPSTORE_OP_FOREST": str(pulled.folder / "forest"),
    }


def test_ops_that_share_a_variable_have_none(memory_server: OpStoreServer, tmp_path: Path) -> None:
    client = InProcessClient(memory_server)
    versions = [client.push(op, b"x") for op in ("a-b", "a.b", "a")]
    lock = tmp_path / "lock"
    found = pull_set(
        client.start_pull,
        "churn",
        [("a-b", "a.b"), ("a.b", "a")],
        versions,
        tmp_path / "ops",
        lock,
        NullDisplay(),
        overwrite=False,
    )
    assert [name for name in environment({}, found, {}) if "OP_" in name] == ["OPSTORE_OP_A"]
    assert variable("random-forest.v2") == "OPSTORE_OP_RANDOM_FOREST_V2"
    assert shared_variables(["a-b", "a.b", "ab", "a_c"]) == {"OPSTORE_OP_A_B": ["a-b", "a.b"]}
