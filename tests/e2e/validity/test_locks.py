"""Lock files on the command line: what is printed, what is refused, and what other stores say to them."""

import os
from pathlib import Path

import pytest

from opstore_cli import OpStoreClient, lockfile
from opstore_cli.files.locks import LockState, try_lock
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.records import Lock, LockedVersion
from tests.support.machines import Machine


def prepare(machine: Machine, *first: str) -> None:
    """Push a chain of two ops with subversions of decimal digits, after `first` versions of pca."""
    for text in first:
        machine.do("push", "pca", machine.file("blob", text))
    machine.do("push", "pca", machine.file("blob", "dated"), "--subversions", "2026.1129.1530")
    machine.do("push", "forest", machine.file("blob", "trees"), "--valid-with", "pca@2026.1129.1530_")
    machine.do("pipeline", "register", "churn", "pca", "forest")


@pytest.fixture
def dated(machine: Machine) -> Machine:
    """Return a machine with the chain, and its lock in opstore.lock."""
    prepare(machine)
    machine.do("resolve", "churn", "--lock", "opstore.lock")
    return machine


def test_a_lock_of_subversions_of_decimal_digits_works_everywhere(dated: Machine) -> None:
    assert dated.run("pull", "--lock", "opstore.lock", "-d", "models") == (0, "models/pca\nmodels/forest\n", "")
    assert (dated.cwd / "models/pca").read_bytes() == b"dated"
    assert dated.run("tag", "--lock", "opstore.lock", "live") == (0, "pca@1.0.0 is live\nforest@1.0.0 is live\n", "")
    assert dated.run("resolve", "--check", "opstore.lock") == (0, "", "opstore.lock holds\n")
    code, out, err = dated.run("resolve", "--lock", "opstore.lock", "--upgrade", "forest", "-q")
    assert (code, out, err) == (0, "pca@1.0.0\nforest@1.0.0\n", "")


def test_a_lock_is_printed_and_read_from_a_pipe(dated: Machine) -> None:
    written = (dated.cwd / "opstore.lock").read_bytes()
    assert dated.raw("resolve", "churn", "--lock", "-") == (0, written, b"")
    assert dated.raw("resolve", "churn", "--lock", "-", "-q") == (0, written, b"")
    assert dated.run("resolve", "--check", "/dev/stdin", stdin=written) == (0, "", "/dev/stdin holds\n")
    code, document, error = dated.ask("resolve", "churn", "--lock", "-")
    assert (code, document) == (2, None)
    assert error["message"] == "--json and --lock - both write to standard output; pass a path to --lock"
    code, out, err = dated.run("resolve", "--lock", "-", "--upgrade", "pca")
    assert (code, out) == (2, "")
    assert "--upgrade needs the file of a lock" in err


def test_a_merged_lock_is_refused_by_every_use_and_changes_nothing(dated: Machine) -> None:
    dated.do("pull", "--lock", "opstore.lock", "-d", "models")
    dated.do("push", "pca", dated.file("blob", "second"), "--bump", "major", "--valid-for", "forest@1.0.0")
    ours = (dated.cwd / "opstore.lock").read_text()
    theirs = dated.raw("resolve", "churn", "--lock", "-")[1].decode()
    tables = theirs.split("\n[[version]]\n")
    lines = "\n".join(["<<<<<<< HEAD", *ours.splitlines()[-12:], "=======", *theirs.splitlines()[-12:], ">>>>>>> main"])
    merged = {
        "its versions of pca twice": (f"{ours}\n[[version]]\n{tables[1]}", "it has two versions of pca"),
        "the markers of git": (lines, "it contains a merge conflict"),
        "a version too few": ("\n[[version]]\n".join(tables[:2]), "but no version of forest"),
    }
    listed = dated.listing()
    for text, reason in merged.values():
        dated.file("opstore.lock", text)
        for words in (
            ("resolve", "--check", "opstore.lock"),
            ("resolve", "--lock", "opstore.lock", "--upgrade", "pca"),
            ("tag", "--lock", "opstore.lock", "live"),
            ("pull", "--lock", "opstore.lock", "-d", "models", "-f"),
        ):
            code, out, err = dated.run(*words)
            assert (code, out, reason in err, "write it again with opstore resolve --lock" in err) == (
                2,
                "",
                True,
                True,
            )
        assert (dated.cwd / "opstore.lock").read_text() == text
    assert (dated.listing(), dated.do("tags")) == (listed, "")
    assert (dated.cwd / "models/pca").read_bytes() == b"dated"


def test_a_lock_of_another_pipeline_is_refused(dated: Machine) -> None:
    dated.do("pipeline", "register", "other", "forest")
    for words in (("--check", "opstore.lock"), ("--lock", "opstore.lock", "--upgrade", "pca")):
        code, out, err = dated.run("resolve", "other", *words)
        assert (code, out) == (2, "")
        assert "opstore.lock is a lock of churn, not of other" in err


@pytest.mark.slow
def test_other_numbers_in_another_store_are_noted_and_do_not_matter(dated: Machine, other: Machine) -> None:
    prepare(other, "first")
    other.file("opstore.lock", (dated.cwd / "opstore.lock").read_bytes())
    note = "pca@1.0.0 of the lock is pca@2.0.0 in this store\n"
    assert other.run("resolve", "--check", "opstore.lock") == (0, "", f"{note}opstore.lock holds\n")
    assert other.run("pull", "--lock", "opstore.lock", "-d", "models") == (0, "models/pca\nmodels/forest\n", note)
    assert other.run("tag", "--lock", "opstore.lock", "live")[::2] == (0, note)
    code, out, err = other.run("resolve", "--lock", "opstore.lock", "--upgrade", "forest", "-q")
    assert (code, out, err) == (0, "pca@2.0.0\nforest@1.0.0\n", "")
    code, document, _ = other.ask("resolve", "--check", "opstore.lock")
    assert (code, document["holds"]) == (0, True)
    assert document["versions"] == [{"op": "pca", "version": "2.0.0"}, {"op": "forest", "version": "1.0.0"}]


def test_only_regular_files_get_a_lock_and_links_are_followed(dated: Machine) -> None:
    os.mkfifo(dated.cwd / "pipe")
    (dated.cwd / "link").symlink_to("opstore.lock")
    dated.file("pyproject.toml", "[project]")
    before = dated.log().count("/resolution")
    for path, reason in (
        ("pipe", "it is a pipe"),
        (".", "it is a folder"),
        ("", "it is a folder"),
        ("nowhere/opstore.lock", "the folder nowhere does not exist"),
        ("/dev/stdout", "it is a stream of this process: use --lock -"),
        ("pyproject.toml", "it is not a lock, so it is not replaced; choose another path"),
    ):
        assert dated.run("resolve", "churn", "--lock", path) == (2, "", f"error: {path or '.'}: {reason}\n")
    assert dated.log().count("/resolution") == before, "it is refused before the resolution is asked for"
    assert (dated.cwd / "pyproject.toml").read_text() == "[project]"
    dated.file("opstore.lock", "")
    code, _, err = dated.run("resolve", "churn", "--lock", "link")
    assert (code, err) == (0, "wrote link\n")
    assert (dated.cwd / "link").is_symlink()
    assert lockfile.read(dated.cwd / "opstore.lock").pipeline == "churn"


def test_the_other_names_of_a_lock_are_noted(dated: Machine) -> None:
    dated.file("opstore.lock", "# Written by opstore resolve --lock, and damaged")
    os.link(dated.cwd / "opstore.lock", dated.cwd / "second")
    code, _, err = dated.run("resolve", "churn", "--lock", "opstore.lock")
    said = "wrote opstore.lock\nopstore.lock was a hard link: its other name keeps the old lock\n"
    assert (code, err) == (0, said)
    assert (dated.cwd / "second").read_text().endswith("damaged")


def test_a_version_that_was_only_registered_is_skipped_with_the_reason(machine: Machine) -> None:
    machine.do("register", "pca", "--subversions", "aaaa.bbbb.cccc")
    machine.do("push", "forest", machine.file("blob", "trees"), "--valid-with", "pca")
    machine.do("pipeline", "register", "churn", "pca", "forest")
    machine.do("resolve", "churn", "--lock", "opstore.lock")
    words = ("pull", "--lock", "opstore.lock", "-d", "models")
    assert machine.run(*words) == (0, "models/forest\n", "skipped pca@1.0.0: it has no bytes\n")
    machine.do("push", "pca", "blob", "--subversions", "aaaa.bbbb.cccc")
    said = "skipped pca@1.0.0: it had no bytes when the lock was written\n"
    assert machine.run(*words) == (0, "models/forest\n", f"{said}already up to date: models/forest\n")


def test_a_client_pulls_a_lock(dated: Machine, tmp_path: Path) -> None:
    with dated.client() as client:
        moved: list[tuple[int, int | None]] = []
        states: set[LockState] = set()

        def progress(done: int, total: int | None) -> None:
            moved.append((done, total))
            descriptor = os.open(tmp_path, os.O_RDONLY)
            states.add(try_lock(descriptor))
            os.close(descriptor)

        client.progress = progress
        lock = lockfile.read(dated.cwd / "opstore.lock").record()
        assert [version.op for version in client.pull_lock(lock, tmp_path)] == ["pca", "forest"]
    assert (moved[-1], states) == ((10, 10), {"busy"}), "another pull into the folder waits"
    assert ((tmp_path / "pca").read_bytes(), (tmp_path / "forest").read_bytes()) == (b"dated", b"trees")


def test_a_lock_that_is_not_whole_is_refused_before_a_request(tmp_path: Path) -> None:
    version = LockedVersion(op="pca", subversions="2026.1129.1530")
    with pytest.raises(errors.InvalidRequest, match="it has two versions of pca"):
        OpStoreClient("http://127.0.0.1:9", token="unused").pull_lock(Lock(edges=(), versions=(version,) * 2), tmp_path)
