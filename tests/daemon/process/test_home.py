"""The files of a home: the token, the lock and the runtime file."""

import os
import stat
from pathlib import Path

import pytest

from opstore_daemon import config, home
from opstore_daemon.protocol import errors


@pytest.fixture
def settings(tmp_path: Path) -> config.Config:
    return config.load({"OPSTORE_HOME": str(tmp_path)})


def test_only_its_owner_may_read_a_new_token_whatever_the_umask(settings: config.Config) -> None:
    before = os.umask(0)
    try:
        home.load_token(settings.token_file)
    finally:
        os.umask(before)
    assert stat.S_IMODE(settings.token_file.stat().st_mode) == 0o600


def test_a_new_token_is_flushed_to_the_disk_before_it_is_used(
    settings: config.Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    monkeypatch.setattr(
        os, "fsync", lambda _descriptor: synced.append(settings.token_file.with_suffix(".new").read_text())
    )
    assert [f"{home.load_token(settings.token_file)}\n"] == synced


@pytest.mark.parametrize("content", ["", "\n", "short", " " * 40])
def test_a_file_without_a_token_is_refused(settings: config.Config, content: str) -> None:
    settings.token_file.write_text(content)
    with pytest.raises(errors.InvalidSetting, match="it contains no valid token"):
        home.load_token(settings.token_file)


def test_a_home_with_a_question_mark_is_refused_unless_a_database_is_given(tmp_path: Path) -> None:
    environ = {"OPSTORE_HOME": str(tmp_path / "what?")}
    with pytest.raises(errors.InvalidSetting, match="can't be part of the path"):
        config.load(environ)
    assert config.load(environ, "sqlite:///elsewhere.db").home == tmp_path / "what?"


def test_a_symbolic_link_in_place_of_the_lock_is_not_followed(settings: config.Config, tmp_path: Path) -> None:
    settings.lock_file.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(errors.InvalidSetting), home.locked(settings):
        pass
    assert not (tmp_path / "elsewhere").exists()


def test_the_runtime_file_is_replaced_atomically(settings: config.Config) -> None:
    settings.runtime_file.write_text("of before")
    with settings.runtime_file.open() as old:
        home.write_runtime_file(settings, "http://127.0.0.1:1", 1)
        assert old.read() == "of before", "a reader sees the old file or the new one, never a mixture"
    assert home.read_runtime_file(settings) == {"url": "http://127.0.0.1:1", "pid": os.getpid()}
