"""`opstore backup` and `opstore restore`, beside a daemon and without one."""

import fcntl
import os
import re
import signal
from contextlib import suppress
from pathlib import Path

import pytest

from opstore_daemon.protocol._version import __version__
from tests.support.machines import Machine
from tests.support.schema import HEAD
from tests.support.waiting import wait_for

pytestmark = pytest.mark.process


def without_ids(text: str) -> str:
    """Return the text with words for store ids and the names of databases."""
    text = re.sub(r"\b[0-9a-f]{32}\b", "STORE", text)
    return re.sub(r"opstore-(\d+)-[0-9a-f]{16}\.db", r"opstore-\1-DIGEST.db", text)


@pytest.fixture
def stored(machine: Machine) -> Machine:
    """A machine with two versions, and a daemon that runs."""
    machine.file("one.bin", "one")
    machine.file("three.bin", "three")
    machine.do("push", "pca", "one.bin")
    machine.do("push", "forest", "three.bin", "--valid-with", "pca")
    return machine


BACKED_UP = f"""\
folder\t/machine/work/saved
store_id\tSTORE
position\t3
schema\t{HEAD}
release\t{__version__}
created_at\tTIME
ops\t2
versions\t2
stored\t2
blobs\t2
blobs_size\t8
database\topstore-3-DIGEST.db
database_size\tBYTES
source\t/machine/data
copied\t2
copied_size\t8
present\t0
present_size\t0
pruned\t0
pruned_size\t0
missing\t0
"""


def test_a_backup_beside_a_daemon_and_after_its_death_is_restored(stored: Machine, other: Machine) -> None:
    code, out, err = stored.run("backup", "saved")
    assert (code, without_ids(out), err) == (0, BACKED_UP, "")
    stored.file("two.bin", "two")
    stored.do("push", "pca", "two.bin")
    stored.kill()
    assert (stored.home / "opstore.db-wal").stat().st_size > 0
    assert stored.run("backup", "saved", "-q") == (0, "4\n", "")
    assert (stored.home / "opstore.db-wal").stat().st_size > 0
    folder = stored.cwd / "saved"
    assert other.run("restore", folder, "-q") == (0, "/machine/data\n", "")
    listed = ["versions", "pca", "forest"]
    assert other.do(*listed) == stored.do(*listed)
    assert other.do("links") == stored.do("links")
    assert other.do("log") == stored.do("log")
    assert other.do("pull", "pca", "-o", "-") == "two"


def test_a_person_sees_what_was_copied(stored: Machine) -> None:
    stored.do("backup", "saved")
    stored.do("push", "pca", "three.bin")
    code, shown = stored.on_a_terminal("backup", "saved", columns=80)
    assert (code, without_ids(stored.tidy(shown)).replace("\r", "")) == (0, """\
store     STORE
backup    /machine/work/saved
made      """ + shown_time(shown) + """
position  4
versions  3, of 2 ops
blobs     2 (8 B): 0 copied (0 B), 2 already there
""")  # fmt: skip


def shown_time(shown: str) -> str:
    found = re.search(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ", shown)
    assert found is not None
    return found[0]


def test_damage_in_the_store_is_listed_with_exit_code_6(stored: Machine) -> None:
    (blob,) = (
        path for path in (stored.home / "blobs" / "blobs").rglob("*") if path.is_file() and path.stat().st_size == 3
    )
    blob.unlink()
    code, out, err = stored.run("backup", "saved")
    assert (code, out.splitlines()[-1]) == (6, "missing\t1")
    assert err == (
        "warning: pca@1.0.0: DIGEST is missing\n"
        "error: the backup lacks 1 of 2 blobs, which are damaged or missing in the store\n"
        "hint: push the same bytes again, if you have them, and repeat the backup;"
        " opstore restore then needs --partial\n"
    )
    code, document, failure = stored.ask("backup", "saved")
    assert (code, [each["versions"] for each in document["missing"]]) == (6, [["pca@1.0.0"]])
    assert failure["code"] == "BackupIncomplete"


@pytest.mark.parametrize(
    ("words", "env", "code", "error"),
    [
        ("backup saved", {"OPSTORE_URL": "http://127.0.0.1:9"}, 2,
         "error: this command copies the files of the local store, not those of URL"
         " (OPSTORE_URL names it); nothing was written\n"
         "hint: run it on the machine of that daemon, or unset OPSTORE_URL\n"),
        ("backup saved --url http://127.0.0.1:9", {}, 2,
         "error: this command copies the files of the local store, not those of URL"
         " (--url names it); nothing was written\n"
         "hint: run it on the machine of that daemon, or leave out --url\n"),
        ("backup --check --prune saved", {}, 2,
         "error: --check only reads DIR: it takes no --checksum, --prune, --db or --saver\n"
         "hint: opstore backup --help\n"),
        ("backup saved", {}, 4,
         "error: there is no store to back up: /machine/data/opstore.db does not exist\n"
         "hint: set OPSTORE_HOME, or give the --db and the --saver that the daemon was started with\n"),
        (["backup", ""], {}, 2,
         "error: DIR: it is empty, as a variable that is not set\nhint: opstore backup --help\n"),
        (["restore", ""], {}, 2,
         "error: DIR: it is empty, as a variable that is not set\nhint: opstore restore --help\n"),
        (["backup", "--check", "no\udcff"], {}, 4,
         "error: there is no backup in no\\xff: the directory does not exist\n"),
        ("backup --check saved", {}, 4,
         "error: there is no backup in saved: the directory does not exist\n"),
        ("restore /machine", {}, 4,
         "error: there is no backup in /machine: the directory does not exist\n"),
        ("backup saved", {"OPSTORE_HOME": "/proc/none"}, 4,
         "error: there is no store to back up: /proc/none/opstore.db does not exist\n"
         "hint: set OPSTORE_HOME, or give the --db and the --saver that the daemon was started with\n"),
    ],
)  # fmt: skip
def test_what_is_refused(machine: Machine, words: str | list[str], env: dict[str, str], code: int, error: str) -> None:
    line = words.split() if isinstance(words, str) else words
    assert machine.run(*map(os.fsencode, line), env=env) == (code, "", error)
    assert not machine.home.exists()
    assert list(machine.cwd.iterdir()) == []


@pytest.mark.slow
def test_a_daemon_that_uses_another_database_is_noticed(stored: Machine) -> None:
    stored.do("stop")
    with stored.serving(
        "--db", f"sqlite:///{stored.folder / 'other.db'}", "--saver", (stored.folder / "bytes").as_uri()
    ):
        code, out, err = stored.run("backup", "saved")
        assert (code, out) == (2, "")
        assert err == (
            "error: this store can't be backed up: the daemon of /machine/data does not use the database"
            " /machine/data/opstore.db; nothing was written\n"
            "hint: give the --db and the --saver that it was started with\n"
        )
        options = ["--db", f"sqlite:///{stored.folder / 'other.db'}", "--saver", (stored.folder / "bytes").as_uri()]
        assert stored.do("backup", "-q", "saved", *options) == "0"


@pytest.mark.slow
def test_every_command_says_how_to_finish_a_restore(stored: Machine, other: Machine) -> None:
    stored.do("backup", "saved")
    folder = stored.cwd / "saved"
    (blob, _) = sorted(path for path in (folder / "blobs").rglob("*") if path.is_file())
    data = blob.read_bytes()
    blob.write_bytes(b"x" * len(data))
    code, _, err = other.run("restore", folder)
    assert (code, err.splitlines()[-1]) == (
        6, "hint: copy them from where they are intact; --partial restores the rest without them"
    )  # fmt: skip
    said = f"the restore of {folder} into /machine/data is not finished"
    finish = f"hint: finish it: opstore restore {folder}\n"
    for words in ("ops", "start"):
        assert other.run(*words.split()) == (9, "", f"error: the local daemon did not start: {said}\n{finish}")
    assert other.run("db", "current") == (9, "", f"error: {said}\n{finish}")
    code, _, err = other.run("status")
    assert (code, err.splitlines()[0]) == (
        7, f"warning: no daemon starts: {said}; finish it: opstore restore {folder}"
    )  # fmt: skip
    blob.write_bytes(data)
    other.do("restore", folder)
    assert other.do("ops", "-q") == "forest\npca"


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc to see that the program waits")
def test_ctrl_c_deletes_what_is_incomplete_and_says_how_to_go_on(stored: Machine) -> None:
    stored.do("backup", "saved")
    before = sorted(path.name for path in (stored.cwd / "saved").iterdir())
    path = stored.home / "blobs" / "collect.lock"
    with open(path, "rb+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # as a collector: the backup waits
        process = stored.begin("backup", "saved")
        wait_for(lambda: is_open_elsewhere(path), "the backup")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    said = b"error: interrupted\nhint: resume it with: opstore backup saved\n"
    assert (process.returncode, out, err) == (130, b"", said)
    assert not is_open_elsewhere(path)
    assert sorted(path.name for path in (stored.cwd / "saved").iterdir()) == before


def is_open_elsewhere(path: Path) -> bool:
    """Return whether another process has the file open."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and entry.name != str(os.getpid()):
            with suppress(OSError):
                if any(os.readlink(each) == str(path) for each in (entry / "fd").iterdir()):
                    return True
    return False
