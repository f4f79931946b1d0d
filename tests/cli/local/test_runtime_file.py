"""The runtime file: it counts only while the lock of its home is held, and only if the holder wrote it."""

import errno
import fcntl
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from opstore_cli.local import runtime
from opstore_daemon.protocol import errors
from tests.support.homes import held, write_runtime_file

URL = "http://127.0.0.1:7001"


def test_a_runtime_file_counts_only_while_the_lock_is_held(tmp_path: Path) -> None:
    write_runtime_file(tmp_path, URL)
    assert runtime.read_holder(tmp_path) is None
    with held(tmp_path):
        found = runtime.recorded(tmp_path)
        assert found is not None
        assert (found.url, found.pid) == (URL, 4_194_305)
    assert runtime.read_holder(tmp_path) is None


def test_a_copied_runtime_file_does_not_count_even_while_the_copy_is_locked(tmp_path: Path) -> None:
    home, copy = tmp_path / "home", tmp_path / "copy"
    home.mkdir()
    with held(home) as inode:
        write_runtime_file(home, URL, lock=inode)
        assert runtime.recorded(home) is not None
        shutil.copytree(home, copy, copy_function=shutil.copy2)
        assert runtime.read_holder(copy) is None
        with held(copy):
            assert runtime.read_holder(copy) == runtime.Holder(None)


def test_a_runtime_file_of_an_older_release_without_a_lock_counts(tmp_path: Path) -> None:
    write_runtime_file(tmp_path, URL)
    with held(tmp_path):
        assert runtime.recorded(tmp_path) is not None


def test_a_daemon_in_a_container_may_have_the_process_id_1(tmp_path: Path) -> None:
    write_runtime_file(tmp_path, URL, pid=1)
    with held(tmp_path):
        found = runtime.recorded(tmp_path)
    assert found is not None
    assert found.pid == 1


def test_a_home_that_is_reached_by_a_link_is_the_same_home(tmp_path: Path) -> None:
    home, link = tmp_path / "home", tmp_path / "link"
    home.mkdir()
    link.symlink_to(home)
    with held(home) as inode:
        write_runtime_file(home, URL, lock=inode)
        assert runtime.read_holder(link) == runtime.read_holder(home) != runtime.Holder(None)


@pytest.mark.parametrize(
    "bad",
    [
        {"pid": 0},
        {"pid": -100},
        {"pid": 1 << 31},
        {"pid": "1"},
        {"pid": True},
        {"port": 7002},
        {"port": 0},
        {"url": "http://127.0.0.1"},
        {"url": "http://host:7001"},
        {"url": "http://192.0.2.1:7001"},
        {"url": "https://127.0.0.1:7001"},
        {"url": "http://user@127.0.0.1:7001"},
        {"url": "http://127.0.0.1:70011"},
        {"url": "http://[:7001"},
        {"url": 1},
        {"lock": "1"},
        {"lock": 1},
        {"instance": 1},
    ],
)
def test_an_inconsistent_file_does_not_count(tmp_path: Path, bad: dict[str, Any]) -> None:
    with held(tmp_path):
        write_runtime_file(tmp_path, URL)
        assert runtime.recorded(tmp_path) is not None
        content = json.loads((tmp_path / "daemon.json").read_text()) | bad
        (tmp_path / "daemon.json").write_text(json.dumps(content))
        assert runtime.read_holder(tmp_path) == runtime.Holder(None)


DEEP = "[" * 100_000
CONTENTS = ["", "[]", "{}", "\x00", "{" * 10_000, DEEP, f'{{"url": {DEEP}', " " * (1 << 20), '{"url":"', "\ud800"]


@pytest.mark.parametrize("content", CONTENTS, ids=range(len(CONTENTS)))
def test_any_content_of_a_runtime_file_is_no_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "daemon.json").write_bytes(content.encode(errors="surrogatepass"))
    with held(tmp_path):
        assert runtime.read_holder(tmp_path) == runtime.Holder(None)


def test_a_link_a_pipe_and_a_folder_in_place_of_a_runtime_file_are_no_error(tmp_path: Path) -> None:
    path, elsewhere = tmp_path / "daemon.json", tmp_path / "elsewhere"
    elsewhere.mkdir()
    write_runtime_file(elsewhere, URL)
    with held(tmp_path):
        path.symlink_to(elsewhere / "daemon.json")
        assert runtime.recorded(tmp_path) is None
        path.unlink()
        os.mkfifo(path)  # opening it would wait for a writer
        assert runtime.recorded(tmp_path) is None
        with path.open("r+b", buffering=0) as pipe:
            pipe.write((elsewhere / "daemon.json").read_bytes())
            assert runtime.recorded(tmp_path) is None
        path.unlink()
        path.mkdir()
        assert runtime.recorded(tmp_path) is None


def test_a_lock_file_that_is_a_link_is_refused_with_its_path(tmp_path: Path) -> None:
    (tmp_path / "daemon.lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(errors.InvalidSetting, match=r"daemon\.lock\): it is a symbolic link") as refused:
        runtime.read_holder(tmp_path)
    assert str(tmp_path / "daemon.lock") in refused.value.text
    assert not (tmp_path / "elsewhere").exists()


def test_a_lock_in_a_file_system_without_locks_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(_descriptor: int, _kind: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    (tmp_path / "daemon.lock").touch()
    monkeypatch.setattr(fcntl, "flock", unsupported)
    with pytest.raises(errors.InvalidSetting, match="flock failed: No locks available"):
        runtime.read_holder(tmp_path)


def test_a_home_that_is_missing_or_a_file_has_no_holder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for home in (tmp_path / "nowhere", tmp_path / "file"):
        assert runtime.read_holder(home) is None
