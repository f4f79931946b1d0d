"""The files of a home, as they are made: the token, the lock and the runtime file."""

import os
import stat
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from opstore_daemon import config, daemon
from opstore_daemon.protocol import errors


@pytest.fixture
def settings(tmp_path: Path) -> config.Config:
    return config.load({"OPSTORE_HOME": str(tmp_path)})


def test_a_new_token_is_its_owner_s_alone_whatever_the_umask(settings: config.Config) -> None:
    before = os.umask(0)
    try:
        daemon._token(settings.token_file)
    finally:
        os.umask(before)
    assert stat.S_IMODE(settings.token_file.stat().st_mode) == 0o600


def test_a_new_token_is_on_the_disk_before_it_is_used(settings: config.Config, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    monkeypatch.setattr(
        os, "fsync", lambda _descriptor: synced.append(settings.token_file.with_suffix(".new").read_text())
    )
    assert [f"{daemon._token(settings.token_file)}\n"] == synced


@pytest.mark.parametrize("content", ["", "\n", "short", " " * 40])
def test_a_file_that_holds_no_token_is_refused(settings: config.Config, content: str) -> None:
    settings.token_file.write_text(content)
    with pytest.raises(errors.InvalidSetting, match="it holds no token"):
        daemon._token(settings.token_file)


def test_a_home_that_no_database_url_can_name_is_refused_unless_one_is_given(tmp_path: Path) -> None:
    environ = {"OPSTORE_HOME": str(tmp_path / "what?")}
    with pytest.raises(errors.InvalidSetting, match="no part of a database URL"):
        config.load(environ)
    assert config.load(environ, "sqlite:///elsewhere.db").home == tmp_path / "what?"


def test_a_link_in_the_place_of_the_lock_is_not_followed(settings: config.Config, tmp_path: Path) -> None:
    settings.lock_file.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(errors.InvalidSetting), daemon.locked(settings):
        pass
    assert not (tmp_path / "elsewhere").exists()


def test_the_runtime_file_comes_whole_in_the_place_of_another(settings: config.Config) -> None:
    settings.runtime_file.write_text("of before")
    listener: Any = SimpleNamespace(url="http://127.0.0.1:1", port=1)
    with settings.runtime_file.open() as old:
        daemon._write_runtime_file(settings, listener)
        assert old.read() == "of before", "who has it open reads the one or the other, never some of both"
    assert daemon._read_runtime_file(settings) == {"url": "http://127.0.0.1:1", "pid": os.getpid()}
