"""`opstore migrate`: what a person and a script see, and a daemon before, meanwhile and afterwards."""

import re
import sqlite3
from contextlib import closing

import pytest

from tests.support.machines import Machine
from tests.support.schema import HEAD

pytestmark = pytest.mark.process

TO = ("--to-db", "sqlite:////machine/new.db", "--to-saver", "file:///machine/new")


def tidy(text: str) -> str:
    """Return the text with words for store ids."""
    return re.sub(r"\b[0-9a-f]{32}\b", "STORE", text)


@pytest.fixture
def stored(machine: Machine) -> Machine:
    """A machine with two versions, and a daemon that runs."""
    machine.file("one.bin", "one")
    machine.file("three.bin", "three")
    machine.do("push", "pca", "one.bin")
    machine.do("push", "forest", "three.bin", "--valid-with", "pca")
    return machine


def there(machine: Machine) -> list[str]:
    """Return the options for the new place in the folder of the machine."""
    return [word.replace("/machine", str(machine.folder)) for word in TO]


MOVED = f"""\
store_id\tSTORE
position\t3
schema\t{HEAD}
from_db\tsqlite:////machine/data/opstore.db
from_saver\tfile:///machine/data/blobs
db\tsqlite:////machine/new.db
saver\tfile:///machine/new
ops\t2
versions\t2
stored\t2
blobs\t2
blobs_size\t8
serve\topstore serve --db sqlite:////machine/new.db --saver file:///machine/new
go_back\topstore serve
copied\t2
copied_size\t8
present\t0
present_size\t0
read_back\t2
rows\t12
uploads\t0
missing\t0
"""
NOTE = (
    "a command that finds no daemon starts one with the old place: keep the new one running as a service, or set"
    " OPSTORE_NO_AUTOSTART=1\n"
)


@pytest.mark.slow
def test_a_store_moves_once_its_daemon_is_stopped_and_a_client_keeps_its_token(stored: Machine) -> None:
    token, listed = stored.token, stored.do("versions", "pca", "forest")
    log, links = stored.do("log"), stored.do("links")
    refused = f"error: /machine/data is in use by the daemon at URL (pid {stored.pid})\nhint: opstore stop\n"
    code, out, err = stored.run("migrate", *there(stored))
    assert (code, out, err.replace("PID", str(stored.pid))) == (5, "", refused)
    stored.do("stop")
    code, out, err = stored.run("migrate", *there(stored))
    assert (code, tidy(out), err) == (0, MOVED, NOTE)
    with stored.serving(*(word.replace("--to-", "--") for word in there(stored))):
        assert stored.token == token
        assert (stored.do("versions", "pca", "forest"), stored.do("log"), stored.do("links")) == (listed, log, links)
        assert stored.do("push", "pca", "three.bin") == "pca@1.0.1"
        assert stored.do("pull", "pca@1.0.0", "-o", "-") == "one"
    # The source is what it was.
    assert stored.do("versions", "pca", "forest") == listed


def test_a_person_sees_what_was_moved_and_how_to_go_on(stored: Machine) -> None:
    stored.do("stop")
    code, shown = stored.on_a_terminal("migrate", "--dry-run", *there(stored), columns=80)
    assert (code, tidy(stored.tidy(shown)).replace("\r", "")) == (0, """\
store     STORE
database  sqlite:////machine/new.db
bytes     file:///machine/new
position  3
versions  2, of 2 ops
blobs     2 (8 B): 2 to copy (8 B)
rows      12 to copy
would     begin
""")  # fmt: skip
    assert not (stored.folder / "new").exists()
    code, shown = stored.on_a_terminal("migrate", *there(stored), columns=80)
    text = tidy(stored.tidy(shown)).replace("\r", "")
    assert code == 0
    assert text.startswith("""\
store     STORE
database  sqlite:////machine/new.db
bytes     file:///machine/new
position  3
versions  2, of 2 ops
blobs     2 (8 B): 2 copied (8 B), 0 already there, 2 read back
rows      12, equal on both sides
start     opstore serve --db sqlite:////machine/new.db --saver file:///machine/new
go back   opstore serve (without what was pushed since)
""")


def test_a_failure_before_anything_is_moved_does_not_say_that_it_can_resume(stored: Machine) -> None:
    stored.do("stop")
    nobody = "postgresql://nobody@127.0.0.1:1/ops"
    code, out, err = stored.run("migrate", "--to-db", nobody, there(stored)[2], there(stored)[3])
    assert (code, out) == (9, "")
    assert err.startswith("error: the database failed: ")
    assert "the URL of the database" in err


@pytest.mark.slow
def test_json_quiet_and_damage(stored: Machine) -> None:
    stored.do("stop")
    blobs = stored.home / "blobs" / "blobs"
    (blob,) = (path for path in blobs.rglob("*") if path.is_file() and path.stat().st_size == 3)
    blob.unlink()
    code, out, err = stored.run("migrate", *there(stored), "-q")
    assert (code, tidy(out)) == (6, "STORE\n")
    assert err == (
        "warning: pca@1.0.0: DIGEST is missing\n"
        "error: everything was moved but 1 of 2 blobs, which are damaged or missing in the source\n"
        "hint: push the same bytes to the new store, if you have them\n"
    )
    code, document, failure = stored.ask("migrate", "--to-saver", (stored.folder / "third").as_uri())
    assert (code, [each["versions"] for each in document["missing"]]) == (6, [["pca@1.0.0"]])
    assert (failure["code"], document["go_back"]) == ("MigrationIncomplete", "opstore serve")


@pytest.mark.parametrize(
    ("words", "code", "error"),
    [
        ("migrate", 2, "error: give --to-db, --to-saver or both\nhint: opstore migrate --help\n"),
        ("migrate --to-db sqlite:////machine/new.db --url http://127.0.0.1:9", 2,
         "error: this command moves the files of the local store, not those of URL (--url names it);"
         " nothing was written\n"
         "hint: run it on the machine of that daemon, or leave out --url\n"),
        ("migrate --to-saver file:///machine/new", 4,
         "error: there is no store to move: /machine/data/opstore.db has none\n"
         "hint: set OPSTORE_HOME, or give the --db and the --saver of its daemon\n"),
        ("migrate --to-db mysql://ana:s3cret@h/x", 2, None),
    ],
)  # fmt: skip
def test_what_is_refused(machine: Machine, words: str, code: int, error: str | None) -> None:
    found, out, err = machine.run(*words.replace("file:///machine", machine.folder.as_uri()).split())
    assert (found, out) == (code, "")
    assert "s3cret" not in err
    if error is not None:
        assert err == error
    assert list(machine.cwd.iterdir()) == []


@pytest.mark.slow
def test_every_command_says_how_to_finish_a_migration(stored: Machine) -> None:
    stored.do("stop")
    stored.do("migrate", *there(stored))
    database = stored.folder / "new.db"
    with closing(sqlite3.connect(database)) as connection:
        columns = "one INTEGER PRIMARY KEY, store_id, database, saver, command, is_whole, run"
        connection.execute(f"CREATE TABLE unfinished_migration ({columns})")
        values = "(1, 'x', 'here', 'y', 'opstore migrate X', 1, 'z')"
        connection.execute(f"INSERT INTO unfinished_migration VALUES {values}")  # noqa: S608
        connection.commit()
    said = "error: the migration to here is not finished\nhint: finish it: opstore migrate X\n"
    options = ["--db", f"sqlite:///{database}", "--saver", (stored.folder / "new").as_uri()]
    code, _, err = stored.run("serve", *options)
    assert (code, err[-len(said) :]) == (9, said)
    assert stored.run("db", "current", *options[:2]) == (9, "", said)
    assert stored.run("db", "upgrade", *options[:2]) == (9, "", said)
    assert stored.run("backup", "saved", *options) == (9, "", said)
