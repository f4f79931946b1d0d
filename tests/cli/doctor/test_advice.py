"""What doctor advises after a failure of the system: the call's path, the errno in words, and nothing that can harm."""

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from opstore_cli.config.credentials import Credentials
from opstore_cli.files import private
from tests.support.faults import fails
from tests.support.user import User

READ_ONLY = "make its file system writable, or set OPSTORE_HOME to a folder that can be written"
FULL = "free some space on its disk, or set OPSTORE_HOME to a folder on a larger one"
FAILING = "copy what can still be read to another disk before anything else: this one may be failing"
OWNER = "ls -ld //data shows who may use it: run opstore as its owner, or set OPSTORE_HOME"
ADVICE = {
    errno.EROFS: READ_ONLY,
    errno.ENOSPC: FULL,
    errno.EDQUOT: FULL,
    errno.EIO: FAILING,
    errno.EACCES: OWNER,
    errno.EPERM: OWNER,
}
HARMFUL = ("rm ", "move ", "away", "delete", "backup in its place", "--all", "remove ", "kill ")


@pytest.mark.parametrize("error", ADVICE)
def test_the_advice_for_a_home_that_cannot_be_written_names_the_reason(
    user: User, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    user.make_home()
    monkeypatch.setattr(private, "create", fails(error))
    found, advice = user.wrong()["home"]
    assert (found, advice) == (f"//data can't be written: {os.strerror(error)}", ADVICE[error])
    for name, (_, each) in user.wrong().items():
        assert not any(word in str(each) for word in HARMFUL), name


@pytest.mark.parametrize("error", ADVICE)
def test_a_database_that_the_system_can_not_read_needs_no_backup(
    user: User, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    user.make_home()
    (user.home / "opstore.db").touch()
    said = f"error: the database failed: disk I/O error: {os.strerror(error)}\n"
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 9, "", said))
    found, advice = user.wrong()["schema"]
    assert found == f"//data/opstore.db can't be read: the database failed: disk I/O error: {os.strerror(error)}"
    assert advice == ADVICE[error].replace("//data", "//data/opstore.db")


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        ("database disk image is malformed", "opstore stop, then copy //data as it is, before anything else"),
        ("file is not a database", "opstore stop, then copy //data as it is, before anything else"),
        ("database is locked", "opstore status names the daemon that uses it"),
        ("attempt to write a readonly database", "ls -l //data/opstore.db shows who may use it"),
        ("unable to open database file", "ls -l //data/opstore.db shows who may use it"),
        ("something else", "opstore serve shows more"),
    ],
)
def test_only_a_damaged_database_is_said_to_need_a_repair(
    user: User, monkeypatch: pytest.MonkeyPatch, words: str, advice: str
) -> None:
    user.make_home()
    (user.home / "opstore.db").touch()
    said = f"error: the database failed: {words}\n"
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 9, "", said))
    found, given = user.wrong()["schema"]
    assert (found.endswith(words), str(given).startswith(advice)) == (True, True), given
    assert not any(word in str(given) for word in HARMFUL)


@pytest.mark.parametrize("error", [errno.EACCES, errno.EIO, errno.ESTALE])
def test_tokens_that_can_not_be_read_are_not_replaced(user: User, monkeypatch: pytest.MonkeyPatch, error: int) -> None:
    user.make_home()
    Credentials().store("https://a", "x")
    real_open, real_path_open = os.open, Path.open

    def failing(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(path: Any, *given: Any, **named: Any) -> Any:
            if str(path).endswith(("/token", "credentials.json")):
                raise OSError(error, os.strerror(error), str(path))
            return real(path, *given, **named)

        return call

    monkeypatch.setattr(os, "open", failing(real_open))
    monkeypatch.setattr(Path, "open", failing(real_path_open))
    wrong = user.wrong()
    for check in ("token file", "credentials"):
        found, advice = wrong[check]
        assert os.strerror(error) in found
        assert not any(word in str(advice) for word in (*HARMFUL, "mv ")), advice


def test_the_database_check_runs_this_python(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    user.make_home()
    (user.home / "opstore.db").touch()
    ran: list[list[str]] = []

    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        ran.append(command)
        raise subprocess.TimeoutExpired(command, 1)

    monkeypatch.setattr(subprocess, "run", run)
    assert user.wrong()["schema"][1] == "look at the disk that it is on"
    assert ran[0][0] == sys.executable
