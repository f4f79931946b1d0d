"""Homes that others can write to or own, and links, pipes and folders that they planted there."""

import os
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.figures import few
from tests.support.machines import MIB, Machine
from tests.support.random_bytes import random_bytes

pytestmark = pytest.mark.process
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")

COMMANDS = [
    "push pca blob",
    "pull pca@1.0.0",
    "versions pca",
    "ops",
    "link pca forest",
    "status",
    "start",
    "stop",
    "restart",
    "token",
    "open --print",
    "serve",
    "db upgrade",
    "db current",
    "backup elsewhere",
    "restore elsewhere",
    "remove pca@1.0.0",
    "gc",
    "fsck",
]
# In the fast tests one of each kind: with a client, without one, and those that are the daemon's program.
FAST = {"push pca blob", "status", "start", "open --print", "db upgrade"}
SOME_OR_ALL = [pytest.param(words, marks=[] if words in FAST else pytest.mark.slow) for words in COMMANDS]
FILES = ["daemon.log", "daemon.json", "daemon.lock", "start.lock", "token", "port"]


def everything(folder: Path) -> list[tuple[str, int, int, int]]:
    """Return each path in the folder with its inode, owner and size."""
    found = [(path, path.lstat()) for path in [folder, *folder.rglob("*")]]
    return sorted((str(path), one.st_ino, one.st_uid, one.st_size) for path, one in found)


@pytest.mark.parametrize("words", SOME_OR_ALL)
def test_no_command_uses_or_changes_a_home_that_everybody_can_write_to(machine: Machine, words: str) -> None:
    machine.file("blob", "one")
    machine.home.mkdir()
    machine.home.chmod(0o777)
    victim = machine.folder / "victim"
    victim.write_text("dear")
    for name in FILES:
        (machine.home / name).symlink_to(victim)
    before = everything(machine.home)
    code, out, err = machine.run(*shlex.split(words))
    assert (code, out) == (8, "")
    assert err.startswith("error: /machine/data is not used: everybody can write to it\nhint: chmod o-w /machine/data")
    assert (everything(machine.home), victim.read_text()) == (before, "dear")


@as_root
@pytest.mark.parametrize("words", few(1, SOME_OR_ALL))
def test_no_command_of_root_leaves_a_file_in_the_home_of_a_user(machine: Machine, words: str) -> None:
    machine.file("blob", "one")
    machine.do("push", "pca", "blob")
    machine.do("stop")
    for path in [machine.home, *machine.home.rglob("*")]:
        os.chown(path, 12345, 12345)
    before = everything(machine.home)
    code, out, err = machine.run(*shlex.split(words))
    assert (code, out) == (8, "")
    assert err.startswith("error: /machine/data is not used: it belongs to user 12345, and this process runs as root\n")
    assert everything(machine.home) == before


@as_root
def test_root_creates_no_home_and_no_login_in_the_folder_of_a_user(machine: Machine) -> None:
    os.chown(machine.user, 12345, 12345)
    home = {"OPSTORE_HOME": str(machine.user / ".local" / "share" / "opstore")}
    code, _, err = machine.run("push", "pca", machine.file("blob", "one"), env=home)
    assert (code, err.splitlines()[0]) == (
        8,
        "error: /machine/user/.local/share/opstore is not used: /machine/user belongs to user 12345, and this process "
        "runs as root",
    )
    machine.do("start")
    code, _, err = machine.run("login", machine.url, stdin=machine.token.encode())
    assert (code, err.partition(" belongs")[0]) == (
        8,
        "error: /machine/user/.config/opstore is not used: /machine/user",
    )
    assert list(machine.user.iterdir()) == []


@as_root
def test_a_foreign_home_can_be_allowed(machine: Machine) -> None:
    machine.home.mkdir(mode=0o700)
    os.chown(machine.home, 12345, 12345)
    allowed = {"OPSTORE_ALLOW_FOREIGN_HOME": "1"}
    assert machine.run("push", "pca", machine.file("blob", "one"), env=allowed)[:2] == (0, "pca@1.0.0\n")
    assert machine.run("stop", env=allowed) == (0, "", "stopped the local daemon\n")


def test_a_large_push_to_a_url_records_nothing_in_a_home_that_is_not_used(machine: Machine, other: Machine) -> None:
    other.do("start")
    machine.home.mkdir()
    machine.home.chmod(0o777)
    settings = {"OPSTORE_URL": other.url, "OPSTORE_TOKEN": other.token}
    code, out, _ = machine.run("push", "pca", machine.file("blob", random_bytes(9 * MIB)), env=settings)
    assert (code, out) == (0, "pca@1.0.0\n")
    assert list(machine.home.iterdir()) == []


# --- planted files ----------------------------------------------------------------------------------------------------


def plant(path: Path, kind: str, victim: Path) -> None:
    if kind == "link":
        path.symlink_to(victim)
    elif kind == "dangling link":
        path.symlink_to(victim.with_name("created"))
    elif kind == "hard link":
        os.link(victim, path)
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()


OF_THE_DATABASE = ["opstore.db", "opstore.db-wal", "opstore.db-reserve", "opstore.db.lock"]
NAMES = [*FILES, *OF_THE_DATABASE, "daemon.log.1", "daemon.new", "transfers", "handed", "port.new"]
KINDS = ["link", "dangling link", "hard link", "pipe", "folder"]


def pairs() -> Iterator[object]:
    """Yield all pairs. In the fast tests each name has a link, and one of them each kind."""
    for name in NAMES:
        for kind in KINDS:
            is_fast = kind == "link" or name == "daemon.log" or (name, kind) == ("opstore.db.lock", "hard link")
            yield pytest.param(name, kind, marks=[] if is_fast else pytest.mark.slow)


@pytest.mark.parametrize(("name", "kind"), few(3, list(pairs())))
def test_a_planted_file_is_neither_followed_nor_waited_for(machine: Machine, name: str, kind: str) -> None:
    machine.home.mkdir(mode=0o700)
    victim = machine.folder / "victim"
    victim.write_text("dear, and longer than a token is")
    before = victim.stat()
    plant(machine.home / name, kind, victim)
    code, _, err = machine.run("push", "pca", machine.file("blob", random_bytes(9 * MIB)))
    after = victim.stat()
    assert (victim.read_text(), after.st_mode) == ("dear, and longer than a token is", before.st_mode)
    assert not victim.with_name("created").exists()
    assert code in (0, 2, 7, 9), err
    if code:
        assert f"/machine/data/{name}" in err
    machine.run("stop")
    machine.run("status")
    assert victim.read_text() == "dear, and longer than a token is"


def test_a_planted_folder_of_transfers_loses_none_of_its_old_files(machine: Machine) -> None:
    machine.home.mkdir(mode=0o700)
    victims = machine.folder / "victims"
    victims.mkdir()
    old = victims / "old"
    old.write_text("dear")
    os.utime(old, (1, 1))
    (machine.home / "transfers").symlink_to(victims)
    machine.do("push", "pca", machine.file("blob", random_bytes(9 * MIB)))
    assert [path.name for path in victims.iterdir()] == ["old"]
