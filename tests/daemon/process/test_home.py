"""The files of a home: the token, the lock and the runtime file."""

import errno
import fcntl
import logging
import logging.handlers
import os
from pathlib import Path

import pytest

from opstore_daemon import config, home
from opstore_daemon.protocol import errors
from opstore_daemon.system import log_failures
from tests.support.faults import fails
from tests.support.file_modes import mode


@pytest.fixture
def settings(tmp_path: Path) -> config.Config:
    return config.load({"OPSTORE_HOME": str(tmp_path)})


def test_only_its_owner_may_read_a_new_token_whatever_the_umask(settings: config.Config) -> None:
    before = os.umask(0)
    try:
        home.load_token(settings.token_file)
    finally:
        os.umask(before)
    assert mode(settings.token_file) == 0o600


def test_a_new_token_is_flushed_to_the_disk_before_it_is_used(
    settings: config.Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []

    def fsync(_descriptor: int) -> None:
        synced.extend(path.read_text() for path in settings.home.glob(".token.*"))

    monkeypatch.setattr(os, "fsync", fsync)
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
    with home.locked(settings) as lock, settings.runtime_file.open() as old:
        home.write_runtime_file(settings, lock, "http://127.0.0.1:1", 1, "instance")
        assert old.read() == "of before", "a reader sees the old file or the new one, never a mixture"
    assert home.describe_daemon(settings) == {"url": "http://127.0.0.1:1", "pid": os.getpid()}


@pytest.mark.parametrize(
    ("number", "error"),
    [
        (errno.ENOSPC, errors.StorageFull),
        (errno.EDQUOT, errors.StorageFull),
        (errno.EFBIG, errors.StorageFull),
        (errno.EIO, errors.OutputFailed),
        (errno.EROFS, errors.OutputFailed),
        (errno.EACCES, errors.InvalidSetting),
    ],
)
@pytest.mark.parametrize("what", ["token", "runtime", "lock"])
def test_a_home_on_a_disk_that_fails_is_a_storage_error_in_the_words_of_the_system(
    settings: config.Config,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    error: type[errors.OpStoreError],
    what: str,
) -> None:
    lock = home.HomeLock(settings.lock_file, os.open(settings.lock_file, os.O_RDWR | os.O_CREAT))

    def use() -> None:
        if what == "token":
            home.load_token(settings.token_file)
        elif what == "runtime":
            home.write_runtime_file(settings, lock, "http://127.0.0.1:1", 1, "instance")
        else:
            with home.locked(settings):
                pass

    monkeypatch.setattr(os, "open", fails(number))
    with pytest.raises(error, match=os.strerror(number)) as failed:
        use()
    os.close(lock.descriptor)
    assert str(settings.home) in failed.value.text


# --- the log ----------------------------------------------------------------------------------------------------------


class Full:
    """A stream of a log on a full disk: what was not written is tried again, and closing fails too."""

    def write(self, _text: str) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    close = flush = seek = lambda *_: Full.write(Full(), "")


@pytest.fixture
def handler(tmp_path: Path) -> logging.handlers.RotatingFileHandler:
    made = logging.handlers.RotatingFileHandler(tmp_path / "daemon.log", maxBytes=200, backupCount=1)
    log_failures.tolerate(made)
    return made


def emit(handler: logging.Handler, text: str) -> None:
    handler.handle(logging.LogRecord("opstore", logging.INFO, "", 0, text, None, None))


def test_a_line_that_a_full_disk_refuses_is_lost_and_the_next_one_is_written(
    handler: logging.handlers.RotatingFileHandler, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    emit(handler, "first")
    assert handler.stream is not None
    handler.stream.close()
    handler.stream = Full()  # type: ignore[assignment]
    emit(handler, "lost")
    emit(handler, "second")
    handler.close()
    assert (tmp_path / "daemon.log").read_text() == "first\nsecond\n"
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("call", ["rename", "open"])
def test_a_rotation_that_fails_loses_no_later_line(
    handler: logging.handlers.RotatingFileHandler,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    call: str,
) -> None:
    emit(handler, "x" * 180)
    with monkeypatch.context() as patch:
        if call == "rename":
            patch.setattr(os, "rename", fails(errno.EROFS))
        else:
            patch.setattr(handler, "_open", fails(errno.ENOSPC))
        for number in range(3):
            emit(handler, f"{number}" * 100)
    emit(handler, "last")
    handler.close()
    assert (tmp_path / "daemon.log").read_text().endswith("last\n")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("error", [errno.ENOLCK, errno.EOPNOTSUPP, errno.EIO])
def test_a_file_system_without_locks_is_not_said_to_be_in_use(
    settings: config.Config, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    monkeypatch.setattr(fcntl, "flock", fails(error))
    with pytest.raises(errors.OpStoreError) as caught, home.locked(settings):
        pass
    assert not isinstance(caught.value, errors.HomeLocked)
    assert os.strerror(error) in caught.value.text
