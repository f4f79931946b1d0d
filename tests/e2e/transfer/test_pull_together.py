"""`pull --lock` and `pull --pipeline`: all bytes are verified before anything in the folder is replaced."""

import json
import os
import signal
import sys
from pathlib import Path

import pytest

from opstore_cli.transfer.pull_record import NAME as RECORD
from tests.cli.folders.trees import described, make
from tests.support.figures import few
from tests.support.machines import MIB, Machine
from tests.support.random_bytes import random_bytes
from tests.support.waiting import wait_for
from tests.support.wire import Wire

OPS = ("scaler", "encoder", "forest")
PULL = ("pull", "--lock", "opstore.lock", "-d", "models")

# Runs the command line, and kills it at the n-th call by which it changes something in DIR.
DYING = """
import os, signal, sys
from opstore_cli.console.session import Session
from opstore_cli.files import exclusive_rename, part_folder
from opstore_cli.main import main

left, folder = int(sys.argv[1]), sys.argv[2]

def dying(call):
    def run(*args, **kwargs):
        global left
        if any(isinstance(arg, (str, os.PathLike)) and folder in os.fspath(arg) for arg in args):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return call(*args, **kwargs)
    return run

for name in ("link", "replace", "rename", "unlink", "mkdir", "rmdir", "open"):
    setattr(os, name, dying(getattr(os, name)))
part_folder.exchange = dying(part_folder.exchange)
part_folder.rename_exclusively = dying(part_folder.rename_exclusively)
sys.exit(main(sys.argv[3:], Session()))
"""


def content(path: Path) -> object:
    """Return what is at the path, in a form that compares: None if nothing is."""
    if path.is_dir():
        return described(path)
    return path.read_bytes() if path.exists() else None


@pytest.fixture
def locked(machine: Machine) -> Machine:
    """Return a machine with two generations of a pipeline, whose encoder is a folder, and a lock of each."""
    for number in (1, 2):
        before: list[str] = []
        for op in OPS:
            path = machine.cwd / f"{op}-{number}"
            if op == "encoder":
                make(path, {"a": f"{op} {number}".encode(), "b": b"same"})
            else:
                path.write_text(f"{op} {number}")
            machine.do("push", op, path, "--bump", "major", *before)
            before = ["--valid-with", op]
        if number == 1:
            machine.do("pipeline", "register", "churn", *OPS)
        machine.do("resolve", "churn", "--lock", f"{number}.lock")
    machine.file("opstore.lock", (machine.cwd / "2.lock").read_bytes())
    return machine


def models(machine: Machine) -> dict[str, object]:
    return {op: content(machine.cwd / "models" / op) for op in OPS}


def listing(machine: Machine) -> list[str]:
    """Return the entries of the folder, apart from the record of what pulls wrote there."""
    return sorted(set(os.listdir(machine.cwd / "models")) - {RECORD})


def sources(machine: Machine, number: int) -> dict[str, object]:
    return {op: content(machine.cwd / f"{op}-{number}") for op in OPS}


def digest_of(machine: Machine, reference: str) -> str:
    digest: str = json.loads(machine.do("show", reference, "--json"))["digest"]
    return digest.removeprefix("sha256:")


@pytest.mark.slow
def test_one_version_with_damaged_bytes_leaves_everything_as_it_was(locked: Machine) -> None:
    locked.do("pull", "--lock", "1.lock", "-d", "models")
    digest = digest_of(locked, "forest@2.0.0")
    blob = next(path for path in locked.home.rglob(digest) if path.is_file())
    blob.chmod(0o600)
    blob.write_bytes(b"damaged!")
    code, out, err = locked.run(*PULL, "-f")
    assert (code, out, err.startswith("error: ")) == (6, "", True)
    assert (models(locked), listing(locked)) == (sources(locked, 1), sorted(OPS))
    code, out, _ = locked.run("pull", "--pipeline", "churn", "-d", "fresh")
    assert (code, out, (locked.cwd / "fresh").exists()) == (6, "", False)


@pytest.mark.slow
def test_files_that_are_there_are_refused_before_the_first_byte(locked: Machine) -> None:
    folder = locked.cwd / "models"
    folder.mkdir()
    (folder / "forest").write_bytes(b"mine")
    make(folder / "encoder", {"mine": b"dear"})
    before = locked.log().count("/bytes 20")
    hint = "hint: move it away, or choose another path\n"
    said = f"error: models/encoder exists already\n{hint}error: models/forest exists already\n{hint}"
    code, out, err = locked.run(*PULL)
    assert (code, out) == (5, "")
    assert err == f"{said}not started: scaler\n"
    assert (locked.log().count("/bytes 20"), sorted(os.listdir(folder))) == (before, ["encoder", "forest"])
    assert locked.run(*PULL, "-f")[:2] == (0, "models/scaler\nmodels/encoder\nmodels/forest\n")
    assert models(locked) == sources(locked, 2)


def test_what_is_there_already_is_left_alone(locked: Machine) -> None:
    locked.do(*PULL)
    folder = locked.cwd / "models"
    (folder / "scaler").rename(locked.cwd / "elsewhere")
    (folder / "scaler").symlink_to("../elsewhere")
    before = {path: (path.lstat().st_ino, path.lstat().st_mtime_ns) for path in folder.rglob("*")}
    requests = locked.log().count("/bytes 20")
    for force in ((), ("-f",)):
        there = "already up to date: models/scaler, models/encoder, models/forest\n"
        assert locked.run(*PULL, *force) == (0, "models/scaler\nmodels/encoder\nmodels/forest\n", there)
    assert {path: (path.lstat().st_ino, path.lstat().st_mtime_ns) for path in folder.rglob("*")} == before
    assert locked.log().count("/bytes 20") == requests


@pytest.mark.parametrize("plant", few(1, [os.mkfifo, lambda path: path.symlink_to("/dev/zero")]))
def test_what_is_not_a_file_is_neither_opened_nor_replaced(locked: Machine, plant: object) -> None:
    (locked.cwd / "models").mkdir()
    plant(locked.cwd / "models/forest")  # type: ignore[operator]
    code, out, err = locked.run(*PULL, "-f")
    assert (code, out, err.splitlines()[0]) == (2, "", "error: models/forest: it is not a regular file")
    assert os.listdir(locked.cwd / "models") == ["forest"]


@pytest.mark.slow
def test_a_pull_of_a_lock_that_is_killed_at_any_point_leaves_old_and_new_files_and_is_completed(
    locked: Machine,
) -> None:
    old, new = sources(locked, 1), sources(locked, 2)
    locked.do("pull", "--lock", "1.lock", "-d", "models")
    code, point, mixtures = -signal.SIGKILL, 0, 0
    while code == -signal.SIGKILL:
        point += 1
        program = [sys.executable, "-c", DYING, str(point), "models"]
        process = locked.begin(*PULL, "-f", program=program)
        process.communicate(timeout=120)
        code = process.returncode
        found = models(locked)
        assert all(found[op] in (old[op], new[op]) for op in OPS), (point, found)
        mixtures += found not in (old, new)
        locked.do(*PULL, "-f")
        assert (models(locked), listing(locked)) == (new, sorted(OPS)), point
        locked.do("pull", "--lock", "1.lock", "-d", "models", "-f")
        assert models(locked) == old
    assert (code, point > 10, mixtures > 0) == (0, True, True)


@pytest.mark.slow
def test_an_interrupted_pull_of_a_lock_keeps_its_bytes(machine: Machine, wire: Wire) -> None:
    for number in range(2):
        machine.file(f"op{number}", random_bytes(8 * MIB, seed=number))
        machine.do("push", f"op{number}", f"op{number}", *(["--valid-with", "op0"] if number else []))
    machine.do("pipeline", "register", "churn", "op0", "op1")
    machine.do("resolve", "churn", "--lock", "opstore.lock")
    wire.stop_down = 12 * MIB
    process = machine.begin(*PULL, env=wire.settings)
    assert wire.stopped.wait(60)
    parts = machine.cwd / "models"
    # Not all 12 MiB: the last piece of each file, of up to 1 MiB, is written once it is complete.
    wait_for(lambda: sum(each.stat().st_size for each in parts.iterdir()) > 9 * MIB, "the pull of what was sent")
    process.send_signal(signal.SIGINT)
    said = f"error: interrupted\nhint: resume it with: opstore {' '.join(PULL)}\n"
    assert (process.communicate(timeout=60), process.returncode) == ((b"", said.encode()), 130)
    assert all(name.endswith(".part") for name in os.listdir(machine.cwd / "models"))
    wire.reset()
    assert machine.run(*PULL, env=wire.settings)[0] == 0
    assert wire.down < 8 * MIB, "completed bytes were not sent again"
    for number in range(2):
        assert (machine.cwd / f"models/op{number}").read_bytes() == (machine.cwd / f"op{number}").read_bytes()
