"""Several versions in one command: `pull REF REF -d DIR` and `push --all DIR`."""

import json
import os
import signal
import threading
from typing import Any

import pytest

from opstore_cli import OpStoreClient
from opstore_cli.console.session import Session
from opstore_cli.main import main
from tests.cli.folders.trees import SAMPLE, described, make, plain
from tests.support.figures import few
from tests.support.machines import MIB, STARTED, Machine
from tests.support.random_bytes import random_bytes
from tests.support.wire import Wire


@pytest.fixture
def models(machine: Machine) -> Machine:
    """Create a folder of two files and a folder to push."""
    folder = machine.cwd / "models"
    folder.mkdir()
    (folder / "pca.joblib").write_bytes(b"a pca")
    (folder / "forest.tar.gz").write_bytes(b"a forest")
    make(folder / "encoder", SAMPLE)
    return machine


# --- push --all -------------------------------------------------------------------------------------------------------


def test_each_file_and_folder_becomes_an_op_of_its_name(models: Machine) -> None:
    assert models.run("push", "--all", "models") == (0, "encoder@1.0.0\nforest@1.0.0\npca@1.0.0\n", STARTED)
    assert models.raw("pull", "forest", "-o", "-")[1] == b"a forest"
    assert models.ask("show", "encoder")[1]["format"] == "folder"
    (models.cwd / "models/pca.joblib").write_bytes(b"another pca")
    assert models.run("push", "--all", "models/", "--bump", "minor", "--label", "run=1", "-m", "all of them") == (
        0,
        "encoder@1.0.0\nforest@1.0.0\npca@1.1.0\n",
        "".join(
            f"nothing new: {op}@1.0.0 has these bytes already\nrecorded on it: label run=1\n"
            f"not recorded: the message; opstore edit {op}@1.0.0 -m TEXT sets it\n"
            "no minor bump: --new makes a version of the same bytes\n"
            for op in ("encoder", "forest")
        ),
    )
    shown = models.ask("show", "pca")[1]
    assert (shown["labels"], shown["message"]) == ({"run": "1"}, "all of them")


def test_push_all_prints_a_list_with_json_and_references_with_q(models: Machine) -> None:
    code, document, _ = models.ask("push", "--all", "models")
    assert (code, list(document)) == (0, ["pushed"])
    assert [(each["op"], each["version"], each["created"]) for each in document["pushed"]] == [
        ("encoder", "1.0.0", True),
        ("forest", "1.0.0", True),
        ("pca", "1.0.0", True),
    ]
    assert models.run("push", "--all", "models", "--new", "-q") == (0, "encoder@1.0.1\nforest@1.0.1\npca@1.0.1\n", "")


def test_links_and_fields_apply_to_each_version(models: Machine) -> None:
    models.do("register", "scorer", "--field", "major:a=b")
    models.do("push", "--all", "models", "--valid-for", "scorer", "--field", "major:data=2024")
    assert models.do("links", "scorer").count("scorer") == 3
    assert (
        models.do("push", "--all", "models", "--field", "major:data=2025") == "encoder@2.0.0\nforest@2.0.0\npca@2.0.0"
    )


NAMES = {
    "pca": "pca",
    "pca.joblib": "pca",
    "pca.tar.gz": "pca",
    "pca.pkl.zst": "pca",
    "pca.gz": "pca",
    "model.v2.bin": "model.v2",
    "random-forest_2.onnx": "random-forest_2",
}


@pytest.mark.parametrize("filename", few(2, NAMES))
def test_the_op_is_named_without_the_suffixes_of_the_file(machine: Machine, filename: str) -> None:
    (machine.cwd / "models").mkdir()
    machine.file(f"models/{filename}", "one")
    assert machine.do("push", "--all", "models") == f"{NAMES[filename]}@1.0.0"


def test_folders_keep_their_whole_name_links_are_followed_and_hidden_entries_skipped(models: Machine) -> None:
    make(models.cwd / "models/model.v2", {"a": b"b"})
    (models.cwd / "models/linked.bin").symlink_to("pca.joblib")
    (models.cwd / "models/linked").symlink_to("encoder")
    (models.cwd / "models/.hidden").write_bytes(b"")
    (models.cwd / "models/.git").mkdir()
    (models.cwd / "models/linked.bin").rename(models.cwd / "models/followed.bin")
    assert models.do("push", "--all", "models").split() == [
        "encoder@1.0.0",
        "followed@1.0.0",
        "forest@1.0.0",
        "linked@1.0.0",
        "model.v2@1.0.0",
        "pca@1.0.0",
    ]
    assert models.ask("show", "linked")[1]["digest"] == models.ask("show", "encoder")[1]["digest"]


@pytest.mark.parametrize(
    ("filename", "said"),
    [
        ("pca.bin", "models/pca.joblib: it maps to the op pca, and so does models/pca.bin"),
        ("Zebra.bin", "'Zebra' is not a name"),
        ("z z.bin", "'z z' is not a name"),
        ("zz--.bin", "'zz--' is not a name"),
        ("con.bin", "'con' is not a name"),
    ],
)
def test_all_names_are_checked_before_the_first_upload(models: Machine, filename: str, said: str) -> None:
    models.file(f"models/{filename}", "one")
    code, out, err = models.run("push", "--all", "models")
    assert (code, out, err.startswith(f"error: {said}")) == (2, "", True), err
    assert not models.runtime_file.exists()  # no daemon was started


def test_a_folder_without_files_a_pipe_and_a_link_to_nothing_are_refused(models: Machine) -> None:
    (models.cwd / "empty").mkdir()
    said = "error: empty: there is nothing in it to push\n"
    assert models.run("push", "--all", "empty") == (2, "", said)
    os.mkfifo(models.cwd / "models/pipe")
    said = "error: models/pipe: it is neither a file nor a folder\n"
    assert models.run("push", "--all", "models") == (2, "", said)
    (models.cwd / "models/pipe").unlink()
    (models.cwd / "models/gone").symlink_to("nowhere")
    said = "error: models/gone: No such file or directory\n"
    assert models.run("push", "--all", "models") == (2, "", said)


def test_failures_are_reported_and_the_rest_is_pushed(models: Machine) -> None:
    os.mkfifo(models.cwd / "models/encoder/pipe")
    assert models.run("push", "--all", "models") == (
        2,
        "forest@1.0.0\npca@1.0.0\n",
        f"{STARTED}error: models/encoder/pipe: it is a pipe\n",
    )
    code, document, error = models.ask("push", "--all", "models")
    assert (code, [each["op"] for each in document["pushed"]], error["code"]) == (2, ["forest", "pca"], "FileRefused")


def test_an_unreachable_daemon_is_reported_once_and_ends_the_batch(machine: Machine) -> None:
    make(machine.cwd / "models", {f"op{number}": b"bytes" for number in range(6)})
    code, out, err = machine.run("--url", "http://127.0.0.1:1", "push", "--all", "models")
    assert (code, out, err.count("error: no daemon answers")) == (7, "", 1)
    assert err.endswith("not started: op4, op5\n")


def test_ops_are_pushed_in_parallel(machine: Machine) -> None:
    """Each of four pushes waits for the other three: one after the other, they would never end."""
    make(machine.cwd / "models", {f"op{number}": b"%d" % number for number in range(5)})
    machine.do("start")
    barrier = threading.Barrier(4)

    class Meeting(OpStoreClient):
        def push(self, op: str, *arguments: Any, **options: Any) -> Any:
            if op != "op4":
                barrier.wait(timeout=30)
            return super().push(op, *arguments, **options)

    class Here(Session):
        def client(self, settings: Any = None) -> OpStoreClient:
            return Meeting(f"http://127.0.0.1:{machine.runtime()['port']}", token=machine.token)

    assert main(["push", "--all", str(machine.cwd / "models")], Here()) == 0
    with machine.client() as client:
        assert [op.name for op in client.ops()] == [f"op{number}" for number in range(5)]


@pytest.mark.slow
def test_an_interrupted_batch_is_resumed(machine: Machine, wire: Wire) -> None:
    make(machine.cwd / "models", {f"op{number}": random_bytes(MIB, seed=number) * 8 for number in range(6)})
    wire.stop_up = 20 * MIB
    process = machine.begin("push", "--all", "models", env=wire.settings)
    assert wire.stopped.wait(60)
    process.send_signal(signal.SIGINT)
    said = b"error: interrupted\nhint: resume it with: opstore push --all models\n"
    assert (process.communicate(timeout=60)[1], process.returncode) == (said, 130)
    wire.reset()
    code, out, _ = machine.run("push", "--all", "models", env=wire.settings)
    assert (code, out) == (0, "".join(f"op{number}@1.0.0\n" for number in range(6)))
    assert wire.up < 6 * 8 * MIB - 8 * MIB, "completed bytes were not sent again"


# --- pull -d ----------------------------------------------------------------------------------------------------------


def test_several_ops_are_pulled_into_a_folder(models: Machine) -> None:
    models.do("push", "--all", "models")
    assert models.run("pull", "pca", "encoder@1", "forest@1.0.0", "-d", "to/out") == (
        0,
        "to/out/pca\nto/out/encoder\nto/out/forest\n",
        "",
    )
    out = models.cwd / "to/out"
    assert ((out / "pca").read_bytes(), (out / "forest").read_bytes()) == (b"a pca", b"a forest")
    assert described(out / "encoder") == plain(SAMPLE)
    assert sorted(os.listdir(out)) == ["encoder", "forest", "pca"]
    assert models.run("pull", "pca", "forest", "-d", "to/out", "-f", "-q") == (0, "pca@1.0.0\nforest@1.0.0\n", "")
    code, document, _ = models.ask("pull", "pca", "-d", "one")
    assert (code, list(document)) == (0, ["pulled"])
    assert [(each["op"], each["version"], each["path"]) for each in document["pulled"]] == [("pca", "1.0.0", "one/pca")]


def test_existing_files_are_kept_and_the_rest_is_pulled(models: Machine) -> None:
    models.do("push", "--all", "models")
    (models.cwd / "out").mkdir()
    models.file("out/pca", "mine")
    make(models.cwd / "out/encoder", {"mine": b"dear"})
    hint = "hint: move it away, or choose another path\n"
    errors_ = f"error: out/encoder exists already\n{hint}error: out/pca exists already\n{hint}"
    assert models.run("pull", "encoder", "forest", "pca", "-d", "out") == (5, "out/forest\n", errors_)
    assert (models.cwd / "out/pca").read_bytes() == b"mine"
    (models.cwd / "out/forest").unlink()
    code, out, err = models.raw("pull", "encoder", "forest", "pca", "-d", "out", "--json")
    assert (code, [each["path"] for each in json.loads(out)["pulled"]]) == (5, ["out/forest"])
    assert [json.loads(line)["error"]["code"] for line in err.splitlines()] == ["OutputExists"] * 2
    assert models.do("pull", "encoder", "forest", "pca", "-d", "out", "-f").split() == [
        "out/encoder",
        "out/forest",
        "out/pca",
    ]
    assert described(models.cwd / "out/encoder") == plain(SAMPLE)


def test_the_exit_code_is_that_of_the_first_failure(models: Machine) -> None:
    models.do("push", "--all", "models")
    (models.cwd / "out").mkdir()
    models.file("out/pca", "mine")
    models.do("register", "scorer", "--field", "major:a=b")
    code, out, err = models.run("pull", "scorer", "pca", "forest", "-d", "out")
    assert (code, out) == (4, "out/forest\n")
    assert [line for line in err.splitlines() if line.startswith("error")] == [
        "error: scorer@1.0.0 has no bytes: it is registered only",
        "error: out/pca exists already",
    ]
    assert models.run("pull", "pca", "scorer", "-d", "out")[0] == 5


def test_an_unknown_reference_prevents_all_downloads(models: Machine) -> None:
    models.do("push", "--all", "models")
    assert models.run("pull", "pca", "nowhere", "-d", "out")[:2] == (4, "")
    assert models.run("pull", "pca", "forest@9", "-d", "out")[:2] == (4, "")
    models.file("file", "mine")
    said = "error: file: it is not a folder\n"
    assert models.run("pull", "pca", "forest", "-d", "file") == (2, "", said)
    code, out, err = models.run("pull", "pca", "forest", "-d", "file/out")
    assert (code, out, err) == (9, "", "error: file/out can't be written: Not a directory\n")
    assert models.listing() == ["file", "models"]


def test_an_output_folder_that_stays_empty_is_deleted(models: Machine) -> None:
    models.do("register", "scorer", "--field", "major:a=b")
    assert models.run("pull", "scorer", "-d", "out")[:2] == (4, "")
    assert models.listing() == ["models"]


def test_valid_for_and_pipeline_select_several_ops(models: Machine) -> None:
    models.do("push", "--all", "models")
    models.do("push", "scorer", "models/pca.joblib", "--valid-with", "pca@1.0.0", "--valid-with", "forest@1.0.0")
    for op in ("pca", "forest"):
        models.do("push", op, "models/encoder", "--bump", "major")
    words = ("pull", "pca", "forest", "--valid-for", "scorer", "-d", "out")
    code, out, err = models.run(*words)
    assert (code, out, err.count("skipped ")) == (0, "out/pca\nout/forest\n", 2)
    assert (models.cwd / "out/pca").read_bytes() == b"a pca"
    assert models.run("pull", "pca", "encoder", "--valid-for", "scorer", "-d", "out2")[:2] == (3, "")
    models.do("pipeline", "register", "churn", "--edge", "pca:scorer", "--edge", "forest:scorer")
    assert models.do("pull", "pca", "scorer", "--pipeline", "churn", "-d", "out2") == "out2/pca\nout2/scorer"
    assert (models.cwd / "out2/pca").read_bytes() == b"a pca"
    for op in ("pca", "forest"):
        models.do("link", f"{op}@2.0.0", "scorer")
    assert models.do("pull", "pca", "scorer", "--pipeline", "churn", "-d", "out3") == "out3/pca\nout3/scorer"
    assert described(models.cwd / "out3/pca") == plain(SAMPLE)


@pytest.mark.slow
def test_an_interrupted_pull_of_several_ops_is_resumed(machine: Machine, wire: Wire) -> None:
    for number in range(6):
        data = random_bytes(MIB, seed=number) * 8
        path = machine.cwd / f"source{number}"
        if number % 2:
            path.write_bytes(data)
        else:
            make(path, {"data": data})
        machine.do("push", f"op{number}", path)
    words = ("pull", *(f"op{number}" for number in range(6)), "-d", "out")
    wire.stop_down = 12 * MIB
    process = machine.begin(*words, env=wire.settings)
    assert wire.stopped.wait(60)
    process.send_signal(signal.SIGINT)
    said = f"error: interrupted\nhint: resume it with: opstore {' '.join(map(str, words))}\n".encode()
    assert (process.communicate(timeout=60), process.returncode) == ((b"", said), 130)
    wire.reset()
    assert machine.run(*words, "-f", env=wire.settings)[0] == 0
    assert sorted(os.listdir(machine.cwd / "out")) == [f"op{number}" for number in range(6)]
    for number in range(6):
        source, out = machine.cwd / f"source{number}", machine.cwd / f"out/op{number}"
        assert described(source) == described(out) if number % 2 == 0 else source.read_bytes() == out.read_bytes()
