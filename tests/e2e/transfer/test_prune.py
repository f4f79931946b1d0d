"""`pull --lock -d DIR --prune`: what an earlier pull of the pipeline left is removed, and nothing else."""

import json
import os
import signal
import sys
from pathlib import Path

import pytest

from opstore_cli.transfer.pull_record import NAME as RECORD
from tests.cli.folders.trees import make
from tests.support.machines import Machine

PULL = ("pull", "--pipeline", "churn", "-d", "models")

# Runs the command line, and kills it at the n-th call by which it changes something in the folder.
DYING = """
import os, signal, sys
from opstore_cli.console.session import Session
from opstore_cli.main import main

left = int(sys.argv[1])

def dying(call):
    def run(*args, **kwargs):
        global left
        if any(isinstance(arg, (str, os.PathLike)) and "models" in os.fspath(arg) for arg in args):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return call(*args, **kwargs)
    return run

for name in ("replace", "rename", "unlink", "rmdir", "open"):
    setattr(os, name, dying(getattr(os, name)))
sys.exit(main(sys.argv[2:], Session()))
"""


@pytest.fixture
def pulled(machine: Machine) -> Machine:
    """Return a machine with the pipeline churn in the folder models, from which two ops are gone meanwhile."""
    machine.file("pca.bin", "a pca")
    machine.file("forest.bin", "trees")
    make(machine.cwd / "encoder", {"a": b"one", "b/c": b"two"})
    for op, source in (("pca", "pca.bin"), ("encoder", "encoder"), ("forest", "forest.bin")):
        machine.do("push", op, source)
    machine.do("link", "pca@1.0.0", "encoder")
    machine.do("link", "encoder@1.0.0", "forest")
    machine.do("pipeline", "register", "churn", "pca", "encoder", "forest")
    machine.do(*PULL)
    shrink(machine)
    return machine


def shrink(machine: Machine) -> None:
    """Leave only pca and a new op in the pipeline."""
    machine.do("pipeline", "remove", "churn")
    machine.file("scaler.bin", "a scaler")
    machine.do("push", "scaler", "scaler.bin")
    machine.do("link", "pca@1.0.0", "scaler")
    machine.do("pipeline", "register", "churn", "pca", "scaler")


def models(machine: Machine, folder: str = "models") -> list[str]:
    return sorted(set(os.listdir(machine.cwd / folder)) - {RECORD})


def test_what_an_earlier_pull_left_is_removed_only_with_prune(pulled: Machine) -> None:
    assert pulled.run(*PULL) == (0, "models/pca\nmodels/scaler\n", "already up to date: models/pca\n")
    assert models(pulled) == ["encoder", "forest", "pca", "scaler"]
    pulled.file("models/notes.txt", "mine")
    said = "removed models/{}: it is not in churn any more\n"
    up_to_date = "already up to date: models/pca, models/scaler\n"
    assert pulled.run(*PULL, "--prune") == (
        0,
        "models/pca\nmodels/scaler\n",
        up_to_date + said.format("encoder") + said.format("forest"),
    )
    assert models(pulled) == ["notes.txt", "pca", "scaler"]
    code, document, _ = pulled.ask(*PULL, "--prune")
    assert (code, document["pruned"], len(document["pulled"])) == (0, [], 2)
    # With a suffix they are other files: those without one are left of the earlier pull.
    code, document, _ = pulled.ask(*PULL, "--prune", "--keep-suffix")
    assert (code, document["pruned"]) == (0, ["models/pca", "models/scaler"])
    assert models(pulled) == ["notes.txt", "pca.bin", "scaler.bin"]


def test_a_lock_is_pruned_as_its_pipeline_is(pulled: Machine) -> None:
    pulled.do("resolve", "churn", "--lock", "opstore.lock")
    code, document, _ = pulled.ask("pull", "--lock", "opstore.lock", "-d", "models", "--prune")
    assert (code, document["pruned"]) == (0, ["models/encoder", "models/forest"])


@pytest.mark.slow
def test_what_was_changed_since_is_kept_and_named(pulled: Machine) -> None:
    pulled.file("models/forest", "better trees")
    pulled.file("models/encoder/more", "mine")
    for _ in range(2):
        code, _, err = pulled.run(*PULL, "--prune", "-q")
        assert (code, err) == (
            0,
            "kept models/encoder: it is not what an earlier pull wrote\n"
            "kept models/forest: it is not what an earlier pull wrote\n",
        )
    assert models(pulled) == ["encoder", "forest", "pca", "scaler"]


def test_a_file_that_no_pull_wrote_is_kept_even_if_the_store_has_its_bytes(machine: Machine) -> None:
    machine.file("pca.bin", "a pca")
    machine.do("push", "pca", "pca.bin")
    machine.do("push", "forest", "-", stdin=b"trees")
    machine.do("link", "pca@1.0.0", "forest")
    machine.do("pipeline", "register", "churn", "pca", "forest")
    (machine.cwd / "models").mkdir()
    machine.file("models/forest", "trees")  # left alone by the pull, because it has the right bytes
    machine.do(*PULL)
    shrink(machine)
    assert machine.ask(*PULL, "--prune")[1]["pruned"] == []
    assert models(machine) == ["forest", "pca", "scaler"]


def test_what_another_pipeline_has_there_is_kept(pulled: Machine) -> None:
    pulled.do("pipeline", "register", "other", "encoder", "forest")
    pulled.do("pull", "--pipeline", "other", "-d", "models")
    assert pulled.ask(*PULL, "--prune")[1]["pruned"] == []
    assert models(pulled) == ["encoder", "forest", "pca", "scaler"]
    # It is still known to be of a pull: the other pipeline prunes it.
    pulled.do("pipeline", "remove", "other")
    pulled.do("pipeline", "register", "other", "pca", "encoder")
    code, document, _ = pulled.ask("pull", "--pipeline", "other", "-d", "models", "--prune")
    assert (code, document["pruned"]) == (0, ["models/forest"])
    assert models(pulled) == ["encoder", "pca", "scaler"]


def test_a_failed_pull_prunes_nothing(pulled: Machine) -> None:
    pulled.file("models/scaler", "mine")
    assert pulled.run(*PULL, "--prune")[0] == 5
    assert models(pulled) == ["encoder", "forest", "pca", "scaler"]


def test_a_link_and_a_folder_above_are_kept(pulled: Machine) -> None:
    (pulled.cwd / "models/forest").rename(pulled.cwd / "elsewhere")
    (pulled.cwd / "models/forest").symlink_to("../elsewhere")
    inside = {"cwd": pulled.cwd / "models/encoder"}
    code, _, err = pulled.run("pull", "--pipeline", "churn", "-d", "..", "--prune", "-q", **inside)
    assert (code, err.count("kept ")) == (0, 2), err
    assert models(pulled) == ["encoder", "forest", "pca", "scaler"]
    assert (pulled.cwd / "elsewhere").read_bytes() == b"trees"


HOSTILE = [
    "",
    "{",
    "[]",
    '{"format":2,"pulls":{"churn":{"mine":"DIGEST"}}}',
    '{"format":1,"pulls":{"churn":{"../mine":"DIGEST","/mine":"DIGEST",".mine":"DIGEST","sub/mine":"DIGEST"}}}',
    '{"format":1,"pulls":{"churn":{"mine":"sha256:00"}}}',
    '{"format":1,"pulls":{"churn":{"mine":5}}}',
    "[" * 100_000,
    " " * 2_000_000,
]


@pytest.mark.slow
def test_a_damaged_or_hostile_record_removes_nothing(pulled: Machine) -> None:
    trees = json.loads((pulled.cwd / "models" / RECORD).read_text())["pulls"]["churn"]["forest"]
    for path in ("mine", "models/mine", "models/.mine", "models/sub/mine"):
        (pulled.cwd / path).parent.mkdir(exist_ok=True)
        pulled.file(path, "trees")
    for text in HOSTILE:
        pulled.file(f"models/{RECORD}", text.replace("DIGEST", trees))
        code, document, _ = pulled.ask(*PULL, "--prune")
        assert (code, document["pruned"]) == (0, []), text[:100]
        assert models(pulled) == [".mine", "encoder", "forest", "mine", "pca", "scaler", "sub"], text[:100]
        assert os.listdir(pulled.cwd / "models/sub") == ["mine"]


def test_a_record_that_is_a_link_or_a_pipe_is_not_read_and_its_target_not_written(pulled: Machine) -> None:
    record = pulled.cwd / "models" / RECORD
    record.rename(pulled.cwd / "record")
    before = (pulled.cwd / "record").read_bytes()
    record.symlink_to("../record")
    assert pulled.ask(*PULL, "--prune")[1]["pruned"] == []
    assert (record.is_symlink(), (pulled.cwd / "record").read_bytes()) == (False, before)
    record.unlink()
    os.mkfifo(record)
    (pulled.cwd / "models/scaler").unlink()
    assert pulled.ask(*PULL, "--prune")[0] == 0


@pytest.mark.parametrize(
    "words",
    [("pca", "-d", "models"), ("pca", "--pipeline", "churn", "-d", "models"), ("--pipeline", "churn")],
)
def test_prune_needs_the_whole_of_a_pipeline(machine: Machine, words: tuple[str, ...]) -> None:
    assert machine.run("pull", *words, "--prune")[0] == 2
    assert not machine.runtime_file.exists()


@pytest.mark.slow
def test_a_prune_that_is_killed_at_any_point_is_completed_by_the_next(pulled: Machine) -> None:
    code, point = -signal.SIGKILL, 0
    while code == -signal.SIGKILL:
        point += 1
        program = [sys.executable, "-c", DYING, str(point)]
        code = pulled.raw(*PULL, "--prune", program=program)[0]
        assert set(models(pulled)) >= {"pca"}
        assert pulled.run(*PULL, "--prune")[0] == 0, point
        assert models(pulled) == ["pca", "scaler"], point
        restore(pulled)
    assert (code, point > 5) == (0, True)


def restore(machine: Machine) -> None:
    """Bring back what was pruned, as the pull of the whole pipeline would."""
    machine.do("pipeline", "remove", "churn")
    machine.do("pipeline", "register", "churn", "pca", "encoder", "forest")
    machine.do(*PULL)
    machine.do("pipeline", "remove", "churn")
    machine.do("pipeline", "register", "churn", "pca", "scaler")


def test_two_ops_that_would_be_one_file_are_refused(machine: Machine) -> None:
    machine.file("x.b", "one")
    machine.do("push", "a", "x.b")
    machine.do("push", "a.b", "-", stdin=b"two")
    machine.do("link", "a@1.0.0", "a.b")
    machine.do("pipeline", "register", "churn", "a", "a.b")
    said = "error: models/a.b: both a and a.b would be written to it\n"
    assert machine.run(*PULL, "--keep-suffix") == (2, "", said)
    assert machine.run("pull", "a", "a.b", "-d", "models", "--keep-suffix") == (2, "", said)
    assert not Path(machine.cwd, "models").exists()
