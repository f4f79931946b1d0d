"""`opstore gc`: what it frees, what stays and why, as people and programs read it."""

import os
from contextlib import closing

import pytest

from opstore_daemon.protocol.records import NewUpload, Upload
from opstore_daemon.savers import FileSaver
from opstore_daemon.savers.collection_lock import FolderCollectionLock
from opstore_daemon.savers.conformance.common import put
from tests.support.machines import Machine

NOTHING = "freed\t0\t0\t-\ntrash\t0\t0\t-\nkept\t0\t0\t-\nquarantine\t0\t0\t-\nunfinished\t0\t0\t-\n"


@pytest.fixture
def garbage(machine: Machine) -> Machine:
    """Return a machine with a version, and with 7,000 bytes of a version that was removed."""
    machine.do("push", "pca", machine.file("removed.bin", b"removed" * 1000))
    machine.do("push", "pca", machine.file("needed.bin", b"needed"))
    with machine.client() as client:
        client.remove("pca@1.0.0")
    return machine


def test_a_store_without_garbage_has_nothing_to_free(machine: Machine) -> None:
    machine.do("push", "pca", machine.file("needed.bin", b"needed"))
    assert machine.run("gc") == (0, NOTHING, "")
    assert machine.run("gc", "--dry-run", "-q") == (0, "0\n", "")
    code, shown = machine.on_a_terminal("gc", "--grace", "0", "--purge")
    assert (code, "there is nothing to free" in shown) == (0, True)


@pytest.mark.slow
def test_garbage_waits_for_its_grace_time_goes_to_the_trash_and_is_purged(garbage: Machine) -> None:
    kept = "kept\t1\t7000\tno version refers to it, but it was stored within --grace; due from TIME on\n"
    trash = "deleted from TIME on; --purge deletes it now"
    steps = [
        ("--dry-run", NOTHING.replace("kept\t0\t0\t-\n", kept)),
        ("", NOTHING.replace("kept\t0\t0\t-\n", kept)),
        ("--grace 0", NOTHING.replace("trash\t0\t0\t-\n", f"trash\t1\t7000\t1 new (7.0 kB); {trash}\n")),
        ("--grace 2h", NOTHING.replace("trash\t0\t0\t-\n", f"trash\t1\t7000\t{trash}\n")),
        ("--dry-run --purge", NOTHING.replace("freed\t0\t0\t-\n", "freed\t1\t7000\t1 deleted for good\n")),
        ("--purge", NOTHING.replace("freed\t0\t0\t-\n", "freed\t1\t7000\t1 deleted for good\n")),
        ("--purge", NOTHING),
    ]
    for options, expected in steps:
        assert garbage.run("gc", *options.split()) == (0, expected, ""), options
    assert garbage.do("pull", "pca", "-o", "-") == "needed"


def test_a_person_sees_what_is_there_and_the_status_shows_what_can_be_freed(garbage: Machine) -> None:
    with garbage.client() as client:
        client._api.request("POST", "/v1/uploads", Upload, body=NewUpload(size=9))
    code, shown = garbage.on_a_terminal("gc", "--grace", "0", "--dry-run", columns=80)
    lines = [line.split() for line in shown.splitlines()]
    assert code == 0
    assert ["trash", "1", "7.0", "kB"] in [line[:4] for line in lines]
    assert ["unfinished", "1", "0", "B"] in [line[:4] for line in lines]
    assert "freed" not in [line[0] for line in lines if line]
    status = garbage.ask("status")[1]
    assert (status["garbage_size"], status["trash_size"]) == (7000, 0)
    code, shown = garbage.on_a_terminal("status")
    assert "garbage size   7.0 kB" in shown
    assert "opstore gc --dry-run shows what can be freed" in shown
    garbage.do("gc", "--grace", "0")
    status = garbage.ask("status")[1]
    assert (status["garbage_size"], status["trash_size"]) == (0, 7000)


def test_the_document_of_a_collection_has_all_figures(garbage: Machine) -> None:
    code, document, error = garbage.ask("gc", "--grace", "0", "--purge")
    assert (code, error) == (0, None)
    figures = {name: value for name, value in document.items() if value}
    assert figures == {
        "complete": True, "freed": 7000, "garbage": 1, "garbage_size": 7000, "purged": 1, "purged_size": 7000
    }  # fmt: skip


def test_a_backup_keeps_the_collection_away(garbage: Machine) -> None:
    with FolderCollectionLock(garbage.home / "blobs").shared():
        reason = "nothing is collected now: a backup reads the blobs"
        assert garbage.run("gc") == (5, "", f"error: {reason}\nhint: when it has ended: opstore gc\n")
        code, document, error = garbage.ask("gc")
        assert (code, document, error["code"], error["message"]) == (5, None, "CollectionHeld", reason)
        assert garbage.run("gc", "--dry-run", "--grace", "0", "-q") == (0, "0\n", "")


def test_what_could_not_be_collected_is_an_error_with_the_figures(garbage: Machine) -> None:
    trash = garbage.home / "blobs" / "trash"
    trash.rmdir()
    trash.touch()
    code, out, err = garbage.run("gc", "--grace", "0")
    assert (code, out) == (9, NOTHING)
    assert err.startswith("error: not everything could be collected: the bytes could not be stored or read: Not a d")
    assert err.endswith("\nhint: when that is solved: opstore gc\n")
    code, document, error = garbage.ask("gc", "--grace", "0")
    assert (code, len(document["problems"]), error["code"]) == (9, 2, "CollectionIncomplete")
    trash.unlink()
    assert garbage.do("gc", "--grace", "0", "--purge", "-q") == "7000"


def test_what_a_crash_left_is_freed(machine: Machine) -> None:
    machine.do("push", "pca", machine.file("needed.bin", b"needed"))
    put(FileSaver(machine.home / "blobs"), b"published and no version")
    with closing(FileSaver(machine.home / "blobs").draft("0" * 32)) as draft:
        draft.append(b"lost")
    assert machine.run("gc")[1].startswith("freed\t1\t4\t1 left by crashes\ntrash\t0")
    assert os.listdir(machine.home / "blobs" / "staging") == []


@pytest.mark.parametrize("word", ["prune", "clean", "cleanup", "vacuum"])
def test_what_other_tools_call_it_is_answered_with_the_command(machine: Machine, word: str) -> None:
    code, _, err = machine.run(word)
    assert (code, "opstore gc frees the space of what no version refers to" in err) == (2, True)


@pytest.mark.parametrize("given", ["-1", "1w", "a day", "", "999999999999"])
def test_a_grace_time_that_is_none_is_a_usage_error(machine: Machine, given: str) -> None:
    code, out, err = machine.run("gc", f"--grace={given}")
    assert (code, out, "is not a duration such as 90, 90s, 10m, 2h or 1d" in err) == (2, "", True)
