"""`push --exclude` and `.opstoreignore`: entries of a folder that are not stored."""

import io
import os
import tarfile

from tests.cli.folders.trees import make
from tests.e2e.transfer.test_resume import kill_in_the_middle
from tests.support.machines import MIB, STARTED, Machine
from tests.support.random_bytes import random_bytes
from tests.support.wire import Wire

TREE = {".git/HEAD": b"ref", "a.bin": b"a", "a.log": b"log", "cache/x": b"x", "sub/b.bin": b"b", "sub/b.log": b"log"}


def stored(machine: Machine, reference: str) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(machine.raw("pull", reference, "-o", "-")[1])) as tar:
        return sorted(tar.getnames())


def test_patterns_of_the_option_and_of_the_file_exclude_entries(machine: Machine) -> None:
    make(machine.cwd / "model", {**TREE, ".opstoreignore": b"# not needed\n*.log\n"})
    said = "skipped .git in model; --exclude '!.git' stores it\n"
    some = "skipped {} entries in model, matched by --exclude or .opstoreignore\n"
    assert machine.run("push", "m", "model", "--exclude", "/cache/") == (
        0,
        "m@1.0.0\n",
        said + some.format(3) + STARTED,
    )
    assert stored(machine, "m") == [".opstoreignore", "a.bin", "sub", "sub/b.bin"]
    # What was pulled has nothing to skip, and is the same version.
    machine.do("pull", "m", "-o", "pulled")
    assert machine.run("push", "m", "pulled")[:2] == (0, "m@1.0.0\n")
    assert machine.run("pull", "m", "-o", "pulled")[2] == "already up to date: pulled\n"
    assert machine.run("push", "m", "model", "--exclude", "/cache/", "--exclude", "!a.log", "-q") == (
        0,
        "m@1.0.1\n",
        "",
    )
    assert stored(machine, "m") == [".opstoreignore", "a.bin", "a.log", "sub", "sub/b.bin"]
    assert machine.run("push", "m", "model", "--exclude", "!.git", "--exclude", "/*/", "--exclude", "!/.git/")[0] == 0
    assert stored(machine, "m") == [".git", ".git/HEAD", ".opstoreignore", "a.bin"]


def test_excluded_entries_that_could_not_be_stored_are_no_error(machine: Machine) -> None:
    make(machine.cwd / "model", {"a": b"a"})
    os.mkfifo(machine.cwd / "model/pipe")
    (machine.cwd / "model/out").symlink_to("/etc/passwd")
    (machine.cwd / "model/loop").symlink_to(".")
    words = ("push", "m", "model", "--exclude", "pipe", "--exclude", "out", "--exclude", "loop")
    assert machine.run(*words, "-q")[:2] == (0, "m@1.0.0\n")
    assert machine.run(*words, "--follow-links", "-q")[:2] == (0, "m@1.0.0\n")


def test_exclude_is_for_folders_and_a_wrong_pattern_is_named(machine: Machine) -> None:
    machine.file("file", "one")
    hint = "hint: opstore push --help\n"
    assert machine.run("push", "m", "file", "--exclude", "x") == (
        2,
        "",
        f"error: --exclude is for folders, and file is none\n{hint}",
    )
    assert machine.run("push", "m", "-", "--exclude", "x")[0] == 2
    make(machine.cwd / "model", {"a": b"a"})
    code, out, err = machine.run("push", "m", "model", "--exclude", "[a")
    assert (code, out, err) == (2, "", "error: invalid request: '[a' is not a pattern to exclude: its [ has no ]\n")
    machine.file("model/.opstoreignore", "ok\na[\n")
    said = "error: model/.opstoreignore: line 2 is not a pattern: its [ has no ]\n"
    assert machine.run("push", "m", "model") == (2, "", said)
    assert not machine.runtime_file.exists()


def test_push_all_excludes_files_folders_and_what_is_in_them(machine: Machine) -> None:
    make(
        machine.cwd / "models",
        {"pca.bin": b"a", "notes.txt": b"n", "tmp/x": b"x", "enc/a": b"a", "enc/.git/x": b"x", "enc/notes.txt": b"n"},
    )
    machine.file("models/.opstoreignore", "tmp/\n")
    code, out, err = machine.run("push", "--all", "models", "--exclude", "*.txt")
    assert (code, out) == (0, "enc@1.0.0\npca@1.0.0\n")
    assert err.splitlines()[-2:] == [
        "skipped .git in models/enc; --exclude '!.git' stores it",
        "skipped 1 entry in models/enc, matched by --exclude or .opstoreignore",
    ]
    assert stored(machine, "enc") == ["a"]


def test_an_interrupted_push_is_resumed_with_the_same_patterns(machine: Machine, wire: Wire) -> None:
    make(machine.cwd / "model", {"large": random_bytes(16 * MIB), "a.log": b"log"})
    wire.stop_up = 8 * MIB
    kill_in_the_middle(machine, wire, "push", "m", "model", "--exclude", "*.log")
    wire.reset()
    out = machine.run("status", env=wire.settings)[1]
    assert "resume with: opstore push NAME /machine/work/model --exclude '*.log'" in out
    assert machine.run("push", "m", "model", "--exclude", "*.log", "-q", env=wire.settings)[0] == 0
    assert wire.up < 12 * MIB


def test_the_python_client_excludes_as_the_command_does(machine: Machine) -> None:
    root = make(machine.cwd / "model", {**TREE, ".opstoreignore": b"*.log\n"})
    machine.do("start")
    with machine.client() as client:
        pushed = client.push("m", root, exclude="/cache/")
    assert stored(machine, "m") == [".opstoreignore", "a.bin", "sub", "sub/b.bin"]
    assert machine.do("push", "m", "model", "--exclude", "/cache/") == f"{pushed.op}@{pushed.version}"


def test_what_a_user_added_counts_even_if_patterns_exclude_it(machine: Machine) -> None:
    make(machine.cwd / "model", {"a": b"a", ".opstoreignore": b"notes\n"})
    machine.do("push", "m", "model")
    machine.do("pull", "m")
    machine.file("m-1.0.0/notes", "mine")
    assert machine.run("pull", "m")[0] == 5
    assert (machine.cwd / "m-1.0.0/notes").read_text() == "mine"
