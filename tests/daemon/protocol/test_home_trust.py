"""The rule which folders opstore uses as its home, by their owner."""

import os
from pathlib import Path

import pytest

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.home_trust import ALLOW, check_home, user_name

pytestmark = pytest.mark.skipif(os.name != "posix", reason="modes and owners of POSIX")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    path = tmp_path / "home"
    path.mkdir(mode=0o700)
    return path


@pytest.fixture
def other_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run as a user who does not own the files of this test."""
    user = os.geteuid() + 4711
    monkeypatch.setattr(os, "geteuid", lambda: user)


def owned_by(path: Path, uid: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the system say that the path, and what is above it, belongs to a user."""
    stat = Path.stat

    def changed(self: Path, *, follow_symlinks: bool = True) -> os.stat_result:
        found = list(stat(self, follow_symlinks=follow_symlinks))
        if self == path:
            found[4] = uid
        return os.stat_result(found)

    monkeypatch.setattr(Path, "stat", changed)


def test_a_home_of_this_user_may_be_used_also_by_a_group(home: Path) -> None:
    for mode in (0o700, 0o755, 0o770, 0o775):
        home.chmod(mode)
        check_home(home, {})


@pytest.mark.parametrize("mode", [0o702, 0o777, 0o1777])
def test_a_home_that_everybody_can_write_to_is_refused(home: Path, mode: int) -> None:
    home.chmod(mode)
    with pytest.raises(errors.UntrustedHome, match="everybody can write to it") as refused:
        check_home(home, {})
    assert (refused.value.exit_code, refused.value.advice) == (8, f"chmod o-w {home}, or set OPSTORE_HOME")
    link = home.parent / "link"
    link.symlink_to(home)
    with pytest.raises(errors.UntrustedHome):
        check_home(link, {})


@pytest.mark.parametrize("name", ["home", "home/deeper", "home/a/b/c"])
def test_a_home_of_another_user_and_one_to_be_created_in_it_are_refused(
    home: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    owned_by(home, os.geteuid() + 4711, monkeypatch)
    with pytest.raises(errors.UntrustedHome, match=f"belongs to user {os.geteuid() + 4711}, and this process runs as"):
        check_home(home.parent / name, {})
    check_home(home.parent / name, {ALLOW: "1"})


def test_root_is_refused_too(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    owned_by(home, 4711, monkeypatch)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(errors.UntrustedHome, match="this process runs as root"):
        check_home(home, {})


@pytest.mark.usefixtures("other_user")
def test_a_home_of_root_may_be_used(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    owned_by(home, 0, monkeypatch)
    check_home(home, {})


def test_a_new_home_may_be_created_where_everybody_can(home: Path) -> None:
    home.chmod(0o1777)
    check_home(home / "new", {})


def test_the_override_is_1_and_nothing_else(home: Path) -> None:
    home.chmod(0o777)
    check_home(home, {ALLOW: "1"})
    for value in ("", "0"):
        with pytest.raises(errors.UntrustedHome):
            check_home(home, {ALLOW: value})
    with pytest.raises(errors.InvalidSetting, match="it must be 1 or 0"):
        check_home(home, {ALLOW: "yes"})


def test_a_user_without_a_name_is_named_by_number() -> None:
    assert user_name(0) == "root"
    assert user_name(3_999_999_999) == "user 3999999999"
