"""The checks of the machine: each finds its fault, brought about for real, says what to do, and changes nothing."""

import errno
import fcntl
import os
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from opstore_cli.client import token_handover
from opstore_cli.config.credentials import Credentials
from opstore_cli.doctor import CHECKS
from opstore_cli.doctor.home import disk
from opstore_daemon.metadata import Database
from opstore_daemon.protocol import restore_marker
from tests.support import forked
from tests.support.fake_daemon import FakeDaemon
from tests.support.schema import HEAD
from tests.support.user import User

PYTHON = sys.executable
pytestmark = pytest.mark.skipif(os.name != "posix", reason="modes, owners and locks as POSIX has them")
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
not_as_root = pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")


@pytest.fixture(autouse=True)
def _forked_daemon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a fork server start the daemon's program that reads the schema."""
    if forked.AVAILABLE:
        monkeypatch.setattr(sys, "executable", str(forked.daemon_server(os.environ).program))


def test_a_machine_without_opstore_has_no_findings_and_nothing_is_created(user: User) -> None:
    assert user.wrong() == {}
    assert not user.home.exists()
    assert user.findings()["daemon"].found == "it does not run: the first command that needs it starts it"


def test_the_release_of_sqlite_is_shown_only_if_the_store_is_not_on_a_server(
    user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert user.findings()["sqlite"].found.startswith(f"SQLite {sqlite3.sqlite_version}")
    monkeypatch.setenv("OPSTORE_DB", "postgresql://127.0.0.1:1/ops")
    assert "sqlite" not in user.findings()


def test_a_database_on_a_server_is_checked(
    user: User, postgres_url: str, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = "the database of OPSTORE_DB"
    monkeypatch.setenv("OPSTORE_DB", postgres_url)
    assert user.findings()["schema"].found == f"{where} has no schema yet: a daemon creates it when it starts"
    monkeypatch.setenv("OPSTORE_DB", store_url)
    assert user.findings()["schema"].found == f"{where} has the schema {HEAD}"
    assert user.wrong() == {}
    monkeypatch.setenv("OPSTORE_DB", "postgresql://me:s3cret@127.0.0.1:1/ops")
    found, advice = user.wrong()["schema"]
    assert found.startswith(f"{where} can't be used: the database failed: connection failed: ")
    assert str(advice).startswith("check that the server runs, the URL of the database, and the password")
    monkeypatch.setenv("OPSTORE_DB", "mysql://me:s3cret@db/ops")
    assert user.wrong()["schema"][0].startswith(f"{where} can't be used: --db: mysql is not supported")
    assert "s3cret" not in str(user.findings())


# --- the home ---------------------------------------------------------------------------------------------------------


def test_a_home_that_is_not_a_folder_is_a_finding(user: User) -> None:
    user.home.write_text("")
    advice = "move it away, or set OPSTORE_HOME to a folder that you own"
    assert user.wrong() == {"home": ("//data is not a folder", advice)}


def test_a_home_that_is_a_dangling_link_is_a_finding(user: User) -> None:
    user.home.symlink_to(user.folder / "nowhere")
    assert list(user.wrong()) == ["home"]


def test_a_home_that_cannot_be_created_is_a_finding(user: User) -> None:
    (user.folder / "file").write_text("")
    user.home = user.folder / "file" / "deep" / "data"
    said = "//file/deep/data does not exist and can't be created in //file"
    assert user.wrong() == {"home": (said, "set OPSTORE_HOME to a folder that you own")}


def test_a_home_that_others_can_write_to_is_a_finding(user: User) -> None:
    user.make_home()
    user.home.chmod(0o770)
    assert user.wrong() == {"home": ("others can write to //data", "chmod go-w //data")}
    for mode in (0o707, 0o777):
        user.home.chmod(mode)
        found, advice = user.wrong()["home"]
        assert (found, advice) == (
            "//data is not used: everybody can write to it",
            "chmod o-w //data, or set OPSTORE_HOME",
        )
    user.home.chmod(0o755)
    assert user.wrong() == {}


@as_root
def test_a_home_of_another_user_is_a_finding(user: User) -> None:
    user.make_home()
    os.chown(user.home, 12345, 12345)
    found, advice = user.wrong()["home"]
    assert found == "//data is not used: it belongs to user 12345, and this process runs as root"
    said = (
        "run opstore as user 12345, or set OPSTORE_HOME to a folder of your own; OPSTORE_ALLOW_FOREIGN_HOME=1 allows it"
    )
    assert advice == said
    assert list(user.wrong()) == ["home"]


@as_root
def test_files_that_root_left_in_a_home_are_a_finding(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    user.make_home()
    for path in (user.home, user.home / "token"):
        os.chown(path, 12345, 12345)
    monkeypatch.setenv("OPSTORE_ALLOW_FOREIGN_HOME", "1")
    assert user.findings()["owners"].found == f"all files in {user.home} belong to user 12345"
    (user.home / "blobs" / "ab").mkdir(parents=True)
    os.chown(user.home / "blobs", 12345, 12345)
    for name in "abcd":
        (user.home / "blobs" / "ab" / name).touch()
    found, advice = user.wrong()["owners"]
    assert found == (
        "//data/blobs/ab, //data/blobs/ab/a, //data/blobs/ab/b and others: these files of root may not be readable or "
        "replaceable by user 12345, who owns //data"
    )
    assert advice == "as root, make user 12345 their owner (chown), and run opstore as that user only"


@not_as_root
def test_a_home_that_cannot_be_written_is_a_finding(user: User) -> None:
    user.make_home()
    user.home.chmod(0o500)
    said = ("//data can't be written: Permission denied", PERMISSION)
    assert user.wrong() == {"home": said}


@as_root
def test_a_home_that_a_user_other_than_root_cannot_write_is_a_finding(user: User) -> None:
    user.make_home()
    script = f"""
import os
from pathlib import Path
from opstore_cli.doctor import home
from opstore_cli.doctor.machine import Machine
os.setuid(65534)
machine = Machine(Path({str(user.home)!r}), Path("/"))
for check in (home.folder, home.locks, home.times):
    print(check(machine))
"""
    os.chown(user.home, 65534, 65534)
    user.home.chmod(0o500)
    for path in (user.folder, *user.folder.parents):
        if path.stat().st_uid == 0 and path != Path("/"):
            path.chmod(path.stat().st_mode | 0o011)
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    result, *others = ran.stdout.splitlines()
    assert "can't be written: Permission denied" in result
    assert others == ["None", "None"]


def test_a_disk_that_is_nearly_full_is_a_finding(user: User) -> None:
    assert disk(user.machine()).advice is None
    found, advice = disk(user.machine(), least=1 << 80)
    assert found.endswith(f"are free on the disk of {user.home}")
    assert advice == "free some space, or set OPSTORE_HOME to a folder on a larger disk"


def test_a_folder_without_file_locks_is_a_finding(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    user.make_home()
    assert user.findings()["locks"].ok
    advice = "set OPSTORE_HOME to a folder on a disk of this machine"

    # As network folders answer, and as those do that lock nobody out.
    def refused(_descriptor: int, _operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    for flock, reason in (
        (refused, "flock failed: No locks available"),
        (lambda _descriptor, _operation: None, "two holders have the same lock"),
    ):
        monkeypatch.setattr(fcntl, "flock", flock)
        assert user.wrong()["locks"] == (f"file locks do not work in //data: {reason}", advice)


def test_a_file_from_the_future_is_a_finding(user: User) -> None:
    user.make_home()
    later = time.time() + 3600
    os.utime(user.home / "token", (later, later))
    said = ("//data/token is from the future: the clock was set back", "set this machine's clock (NTP)")
    assert user.wrong() == {"times": said}


def test_a_folder_with_another_clock_is_a_finding(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    user.make_home()
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + 100)
    assert user.wrong()["times"] == (
        "files in //data get a time that is -100 s off this machine's clock",
        "set the clocks of both machines (NTP)",
    )


# --- tokens -----------------------------------------------------------------------------------------------------------

NEW_TOKEN = "mv //data/token //data/token.old, then opstore restart, which creates a new one"
PERMISSION = "ls -ld //data shows who may use it: run opstore as its owner, or set OPSTORE_HOME"


def test_a_token_file_that_others_can_read_is_a_finding(user: User) -> None:
    user.make_home()
    (user.home / "token").chmod(0o640)
    assert user.wrong() == {"token file": ("others can read //data/token", "chmod 600 //data/token")}


@pytest.mark.parametrize("text", ["", "short", "two words of some length", "ä" * 20])
def test_a_token_file_without_a_token_is_a_finding(user: User, text: str) -> None:
    user.make_home(text)
    found, advice = user.wrong()["token file"]
    assert ("//data/token" in found, advice) == (True, NEW_TOKEN)


@as_root
def test_a_token_file_of_another_user_is_a_finding(user: User) -> None:
    user.make_home()
    os.chown(user.home / "token", 12345, 12345)
    assert user.wrong() == {
        "token file": ("//data/token belongs to another user", f"run opstore as that user, or {NEW_TOKEN}")
    }


def test_advice_is_quoted_for_the_shell(user: User) -> None:
    user.home = user.folder / "Application Support"
    user.make_home()
    (user.home / "token").chmod(0o644)
    assert user.wrong()["token file"][1] == "chmod 600 '//Application Support/token'"


def test_the_stored_tokens_are_checked(user: User) -> None:
    kept = Credentials()
    kept.store("https://b", "x")
    kept.store("https://a", "y")
    found = user.findings()["credentials"]
    assert (found.ok, found.found) == (True, f"{kept.path} has tokens for https://a, https://b")
    kept.path.chmod(0o644)
    said = ("others can read //config/opstore/credentials.json", "chmod 600 //config/opstore/credentials.json")
    assert user.wrong() == {"credentials": said}
    kept.path.chmod(0o600)
    kept.path.parent.chmod(0o777)
    said = ("others can write to //config/opstore", "chmod go-w //config/opstore")
    assert user.wrong() == {"credentials": said}
    kept.path.parent.chmod(0o700)
    kept.store("http://host", "z")
    assert user.wrong()["credentials"][1] == "opstore logout http://host"
    kept.path.write_text("something else")
    assert user.wrong()["credentials"] == (
        "//config/opstore/credentials.json: it does not contain tokens as opstore login writes them",
        "mv //config/opstore/credentials.json //config/opstore/credentials.old, then log in again",
    )
    kept.path.unlink()
    kept.path.symlink_to(user.folder / "elsewhere")
    assert user.wrong()["credentials"][1] == "put the file itself there, in place of the symbolic link"


def test_the_token_file_of_the_environment_is_checked(user: User) -> None:
    path = user.folder / "secret"
    user.environ = {"OPSTORE_TOKEN_FILE": str(path)}
    assert user.wrong()["environment"][0] == "OPSTORE_TOKEN_FILE (//secret): No such file or directory"
    path.write_text("a-token")
    path.chmod(0o644)
    assert user.wrong()["environment"] == ("others can read //secret", "chmod 600 //secret")
    path.chmod(0o600)
    assert user.wrong() == {}
    user.environ["OPSTORE_TOKEN"] = "another"
    assert user.findings()["environment"].found == "OPSTORE_TOKEN is set, so OPSTORE_TOKEN_FILE is not used"


def test_token_files_of_a_killed_process_are_a_finding(user: User) -> None:
    user.make_home()
    script = (
        "import sys, os, signal; from pathlib import Path; from opstore_cli.client import token_handover\n"
        "print(token_handover.write_token_file(Path(sys.argv[1]), 'a-token'), flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    ran = subprocess.run([sys.executable, "-c", script, str(user.home)], capture_output=True, text=True, check=False)
    path = Path(ran.stdout.strip())
    found, advice = user.wrong()["handed"]
    assert found == "//data/handed has token files of processes that were killed"
    assert advice == "the next client that is pickled deletes them"
    # The next one that hands something over takes it away.
    kept = token_handover.write_token_file(user.home, "another")
    assert (path.exists(), kept.exists(), user.wrong()) == (False, True, {})


# --- the settings -----------------------------------------------------------------------------------------------------


def test_invalid_settings_are_a_finding_and_the_rest_is_checked(user: User) -> None:
    user.make_home()
    (user.home / "token").chmod(0o644)
    (user.cwd / "opstore.toml").write_text("token = 'x'")
    wrong = user.wrong()
    assert list(wrong) == ["settings", "token file"]
    assert wrong["settings"][0] == "//work/opstore.toml: unknown key 'token'; the keys are url and pipeline"


def test_a_url_of_the_working_tree_that_is_not_used_is_a_finding(user: User) -> None:
    (user.cwd / "opstore.toml").write_text('url = "https://models.example.com"')
    assert user.wrong() == {
        "working tree": (
            "//work/opstore.toml names https://models.example.com, which somebody else may have written: it "
            "is not used",
            "opstore login https://models.example.com, if you trust it, or remove it from //work/opstore.toml",
        )
    }
    user.url = "https://other"
    machine = user.machine()
    assert CHECKS["working tree"](machine) == (
        f"{user.cwd}/opstore.toml names https://models.example.com, but --url takes precedence",
        None,
    )


def test_a_url_of_the_working_tree_with_a_stored_token_is_used(user: User) -> None:
    with FakeDaemon() as fake:
        (user.cwd / "opstore.toml").write_text(f'url = "{fake.url}"')
        Credentials().store(fake.url, "kept")
        user.environ = {"OPSTORE_TOKEN": "given"}
        machine = user.machine()
    assert CHECKS["working tree"](machine) == (
        f"{user.cwd}/opstore.toml names {fake.url}, which you are logged in to",
        None,
    )
    said = f"OPSTORE_TOKEN is set, and is not sent to {fake.url}, which only the working tree names"
    assert CHECKS["environment"](machine) == (said, None)


def test_two_settings_files_in_a_working_tree_are_a_finding(user: User) -> None:
    (user.cwd / "pyproject.toml").write_text('[tool.opstore]\npipeline = "churn"')
    assert user.wrong() == {}
    (user.cwd / "opstore.toml").write_text('pipeline = "text"')
    said = "//work/opstore.toml is used, [tool.opstore] in //work/pyproject.toml is not"
    assert user.wrong() == {"working tree": (said, "keep one of them")}
    (user.cwd / "pyproject.toml").write_text("[tool.other]")
    assert user.wrong() == {}


# --- the database -----------------------------------------------------------------------------------------------------


def schema(user: User, revision: str) -> None:
    database = Database(f"sqlite:///{user.home / 'opstore.db'}")
    database.create_all()
    database.close()
    with closing(sqlite3.connect(user.home / "opstore.db")) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", [revision])


def test_the_current_schema_is_no_finding(user: User) -> None:
    user.make_home()
    schema(user, HEAD)
    found = user.findings()["schema"]
    assert (found.ok, found.found) == (True, f"{user.home}/opstore.db has the schema {HEAD}")


def test_an_unfinished_restore_is_a_finding_with_the_command_that_finishes_it(user: User) -> None:
    user.make_home()
    marker = restore_marker.marker_of(Path("/mnt/backup"), ())
    (user.home / restore_marker.MARKER).write_bytes(msgspec.json.encode(marker))
    assert user.wrong()["schema"] == (
        "the restore of /mnt/backup into //data is not finished",
        "finish it: opstore restore /mnt/backup",
    )


@pytest.mark.parametrize(
    ("revision", "release", "advice"),
    [
        ("0999", "12.1.0", "install opstore 12.1.0 or later"),
        ("abcdef", None, "update opstore"),
        ("\x1b[2J", "12.1.0 or later; rm", "update opstore"),
    ],
)
def test_an_unknown_schema_is_a_finding_with_the_release_to_install(
    user: User, revision: str, release: str | None, advice: str
) -> None:
    user.make_home()
    schema(user, HEAD)
    with closing(sqlite3.connect(user.home / "opstore.db")) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", [revision])
        connection.execute("UPDATE store SET release = ?", [release])
    shown = revision if revision.isalnum() else "unknown"
    said = f"//data/opstore.db has the schema {shown}, which this opstore ({HEAD}) does not know"
    assert user.wrong() == {"schema": (said, advice)}


def test_a_file_that_is_not_a_database_is_a_finding(user: User) -> None:
    user.make_home()
    (user.home / "opstore.db").write_bytes(b"no database at all" * 1000)
    found, advice = user.wrong()["schema"]
    reason = (
        "the database failed: file is not a database: leave its files as they are; see Recovery in the documentation"
    )
    assert found == f"//data/opstore.db can't be read: {reason}"
    assert (advice or "").startswith("opstore stop, then copy //data as it is, before anything else: ")
    (user.home / "opstore.db").write_bytes(b"")
    assert user.wrong() == {}


def test_blobs_without_their_database_are_a_finding(user: User) -> None:
    user.make_home()
    (user.home / "blobs").mkdir()
    assert user.wrong() == {}
    (user.home / "blobs" / "store-id").write_text("0" * 32)
    advice = "put the database back, or set OPSTORE_HOME to another folder; see Recovery in the documentation"
    said = "//data/opstore.db does not exist, and //data/blobs belongs to a database"
    assert user.wrong() == {"schema": (said, advice)}
    (user.home / "opstore.db").touch()
    assert user.wrong() == {"schema": ("//data/opstore.db is empty, and //data/blobs belongs to a database", advice)}


def test_a_dangling_link_in_place_of_the_database_is_a_finding(user: User) -> None:
    user.make_home()
    (user.home / "opstore.db").symlink_to("nowhere")
    assert "it is a symbolic link" in user.wrong()["schema"][0]


@pytest.mark.slow
def test_the_reason_of_the_database_is_read_whatever_the_encoding_of_the_streams(
    user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", PYTHON)  # an interpreter reads it only as it starts
    monkeypatch.setenv("PYTHONIOENCODING", "latin-1")
    user.home = user.folder / "dätä"
    user.make_home()
    (user.home / "elsewhere").touch()
    (user.home / "opstore.db").symlink_to("elsewhere")
    found, _ = user.wrong()["schema"]
    assert found.startswith("//dätä/opstore.db can't be read: //d\ufffdt\ufffd/opstore.db: it is a symbolic link")


def test_a_pyproject_that_cannot_be_read_is_a_finding(user: User) -> None:
    (user.cwd / "pyproject.toml").write_text("<<<<<<< HEAD\n")
    found, advice = user.wrong()["working tree"]
    assert found.startswith(
        "//work/pyproject.toml can't be read, so its settings are not used: Invalid statement (at line 1"
    )
    assert advice == "repair that file if it has settings of opstore; nothing else needs it"
