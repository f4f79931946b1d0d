"""Folders as versions, by the commands and over the HTTP API."""

import hashlib
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from opstore_cli import BaseOpStoreClient, OpStoreClient
from opstore_daemon import OpStoreServer
from opstore_daemon.http_server.listener import Listener
from opstore_daemon.protocol import errors
from tests.cli.folders.test_unpacking import HOSTILE
from tests.cli.folders.trees import SAMPLE, Tree, described, make, plain
from tests.e2e.transfer.test_resume import BOUND, HALF, MEASURED, SIZE, SLACK, content, kill_in_the_middle, peak, staged
from tests.support.http_client import Http
from tests.support.in_process import InProcessClient
from tests.support.machines import MIB, PROGRAM, STARTED, Machine
from tests.support.random_bytes import random_bytes
from tests.support.servers import ADMIN_TOKEN
from tests.support.wire import Wire


def test_a_folder_is_pushed_and_pulled(machine: Machine) -> None:
    make(machine.cwd / "encoder", SAMPLE)
    assert machine.run("push", "encoder", "encoder", "--label", "run=1") == (0, "encoder@1.0.0\n", STARTED)
    code, document, _ = machine.ask("show", "encoder")
    assert (code, document["format"], document["labels"]) == (0, "folder", {"run": "1"})
    assert machine.run("push", "encoder", "encoder/") == (
        0,
        "encoder@1.0.0\n",
        "nothing new: encoder@1.0.0 has these bytes already\n",
    )
    assert machine.run("pull", "encoder") == (0, "encoder-1.0.0\n", "")
    assert machine.run("pull", "encoder", "-o", "out") == (0, "out\n", "")
    code, document, _ = machine.ask("pull", "encoder", "-o", "third")
    assert (code, document["path"], document["version"]) == (0, "third", "1.0.0")
    for name in ("encoder-1.0.0", "out", "third"):
        assert described(machine.cwd / name) == plain(SAMPLE)
    # A push of the pulled folder creates no new version.
    assert machine.do("push", "encoder", "out", "-q") == "encoder@1.0.0"
    assert machine.listing() == ["encoder", "encoder-1.0.0", "out", "third"]


def test_pull_replaces_a_folder_only_with_f(machine: Machine) -> None:
    make(machine.cwd / "encoder", SAMPLE)
    machine.do("push", "encoder", "encoder")
    make(machine.cwd / "encoder-1.0.0", {"mine": b"dear"})
    hint = "hint: move it away, or choose another path\n"
    assert machine.run("pull", "encoder") == (5, "", f"error: encoder-1.0.0 exists already\n{hint}")
    assert described(machine.cwd / "encoder-1.0.0") == {"mine": b"dear"}
    assert machine.run("pull", "encoder", "-f") == (0, "encoder-1.0.0\n", "")
    assert described(machine.cwd / "encoder-1.0.0") == plain(SAMPLE)
    machine.do("push", "work", "encoder")
    said = "error: ../work: it contains the working directory\n"
    assert machine.run("pull", "work", "-d", "..", "-f") == (2, "", said)
    assert machine.listing() == ["encoder", "encoder-1.0.0"]


def test_a_folder_is_pulled_into_an_existing_one_unless_that_is_the_version(machine: Machine) -> None:
    make(machine.cwd / "encoder", SAMPLE)
    machine.do("push", "encoder", "encoder")
    (machine.cwd / "models").mkdir()
    assert machine.run("pull", "encoder", "-o", "models") == (0, "models/encoder-1.0.0\n", "")
    assert machine.run("pull", "encoder", "-o", "new/er/") == (0, "new/er/encoder-1.0.0\n", "")
    for force in ((), ("-f",)):
        there = "already up to date: "
        assert machine.run("pull", "encoder", "-o", "models", *force) == (
            0,
            "models/encoder-1.0.0\n",
            f"{there}models/encoder-1.0.0\n",
        )
        assert machine.run("pull", "encoder", "-o", "encoder", *force) == (0, "encoder\n", f"{there}encoder\n")
    (machine.cwd / "models/encoder-1.0.0/more").write_bytes(b"mine")
    assert machine.run("pull", "encoder", "-o", "models")[0] == 5
    assert machine.run("pull", "encoder", "-o", "models", "-f") == (0, "models/encoder-1.0.0\n", "")
    assert described(machine.cwd / "models/encoder-1.0.0") == plain(SAMPLE)
    assert (machine.listing(), described(machine.cwd / "encoder")) == (["encoder", "models", "new"], plain(SAMPLE))


def test_a_folder_is_a_tar_stream_on_standard_output_and_in_a_pipe(machine: Machine) -> None:
    make(machine.cwd / "encoder", SAMPLE)
    code, document, _ = machine.ask("push", "encoder", "encoder")
    code, stream, err = machine.raw("pull", "encoder", "-o", "-")
    assert (code, err, len(stream)) == (0, b"", document["size"])
    (machine.cwd / "out").mkdir()
    subprocess.run(["tar", "-x"], input=stream, cwd=machine.cwd / "out", check=True)  # noqa: S607
    assert described(machine.cwd / "out") == plain(SAMPLE)
    code, piped, err = machine.raw("pull", "encoder", "-o", "/dev/stdout")
    assert (code, piped.removesuffix(b"/dev/stdout\n"), err) == (0, stream, b"")


def test_a_tar_from_standard_input_is_stored_as_a_file(machine: Machine) -> None:
    make(machine.cwd / "encoder", SAMPLE)
    machine.do("push", "encoder", "encoder")
    stream = machine.raw("pull", "encoder", "-o", "-")[1]
    assert machine.run("push", "tarred", "-", stdin=stream) == (0, "tarred@1.0.0\n", "")
    assert machine.ask("show", "tarred")[1]["format"] is None
    machine.do("pull", "tarred")
    assert (machine.cwd / "tarred-1.0.0").read_bytes() == stream
    # The folder has the same bytes, so no version is created, and a warning says that the version is a file.
    assert machine.run("push", "tarred", "encoder") == (
        0,
        "tarred@1.0.0\n",
        "nothing new: tarred@1.0.0 has these bytes already\n"
        "warning: tarred@1.0.0 was pushed as a file and is pulled as one; --new stores it as a folder\n",
    )
    assert machine.do("push", "tarred", "encoder", "--new") == "tarred@1.0.1"
    assert machine.do("pull", "tarred") == "tarred-1.0.1"
    assert described(machine.cwd / "tarred-1.0.1") == plain(SAMPLE)


def test_invalid_entries_are_refused_before_the_upload(machine: Machine) -> None:
    make(machine.cwd / "encoder", SAMPLE)
    (machine.cwd / "encoder/out").symlink_to("../../etc/passwd")
    said = "the link's target '../../etc/passwd' is outside the folder"
    assert machine.run("push", "encoder", "encoder") == (
        2,
        "",
        f"error: encoder/out: {said}\nhint: --follow-links stores what the links lead to, if you trust the folder\n",
    )
    assert not machine.runtime_file.exists()  # no daemon was started for it
    (machine.cwd / "encoder/out").unlink()
    os.mkfifo(machine.cwd / "encoder/a/pipe")
    assert machine.run("push", "encoder", "encoder") == (
        2,
        "",
        "error: encoder/a/pipe: it is a pipe\n",
    )
    assert machine.do("ops") == ""
    assert list((machine.home / "blobs" / "staging").iterdir()) == []


MANY: Tree = {f"{number % 97:02}/{number:05}": b"%d" % number * (number % 50) for number in range(10_000)}


@pytest.mark.slow
def test_the_digest_of_ten_thousand_files_does_not_depend_on_their_creation_order(
    machine: Machine, other: Machine
) -> None:
    entries = list(MANY.items())
    make(machine.cwd / "many", MANY)
    random.shuffle(entries)
    make(other.cwd / "many", dict(entries))
    assert machine.do("push", "many", "many") == "many@1.0.0"
    assert other.do("push", "many", "many") == "many@1.0.0"
    digests = {each.ask("show", "many")[1]["digest"] for each in (machine, other)}
    assert len(digests) == 1
    assert machine.do("pull", "many", "-o", "pulled") == "pulled"
    assert {name: what for name, what in described(machine.cwd / "pulled").items() if what is not None} == MANY
    assert machine.run("push", "many", "pulled")[1:] == (
        "many@1.0.0\n",
        "nothing new: many@1.0.0 has these bytes already\n",
    )


# --- interrupted ------------------------------------------------------------------------------------------------------


def large(machine: Machine) -> Path:
    """Create a folder of a few large files."""
    data = content(SIZE)
    return make(machine.cwd / "large", {f"{number}": data[number :: 8 * MIB] for number in range(8)} | {"all": data})


@pytest.mark.slow
def test_a_killed_push_is_resumed(machine: Machine, wire: Wire) -> None:
    root = large(machine)
    wire.stop_up = HALF
    kill_in_the_middle(machine, wire, "push", "encoder", "large")
    arrived = wire.up
    wire.reset()
    assert machine.run("push", "encoder", "large", env=wire.settings) == (0, "encoder@1.0.0\n", "")
    assert SIZE - arrived < wire.up < SIZE - HALF + SLACK
    assert staged(machine) == 0
    machine.do("pull", "encoder", "-o", "out")
    assert described(machine.cwd / "out") == described(root)


@pytest.mark.slow
def test_an_interrupted_or_killed_pull_is_resumed(machine: Machine, wire: Wire) -> None:
    tree = {f"{number:02}": random_bytes(MIB, seed=number) for number in range(SIZE // MIB)}
    root = make(machine.cwd / "large", tree)
    machine.do("push", "encoder", "large")
    wire.stop_down = SIZE // 3
    process = machine.begin("pull", "encoder", "-o", "out", env=wire.settings)
    assert wire.stopped.wait(60)
    process.send_signal(signal.SIGINT)
    said = b"error: interrupted\nhint: resume it with: opstore pull encoder -o out\n"
    assert (process.communicate(timeout=60), process.returncode) == ((b"", said), 130)
    assert len(machine.listing()) == 2
    came = wire.down
    wire.reset()
    wire.stop_down = SIZE // 3
    kill_in_the_middle(machine, wire, "pull", "encoder", "-o", "out")
    came += wire.down
    wire.reset()
    assert machine.run("pull", "encoder", "-o", "out", env=wire.settings) == (0, "out\n", "")
    assert came + wire.down < SIZE + 2 * SLACK, "only bytes in flight and the incomplete file came twice"
    assert (machine.listing(), described(machine.cwd / "out") == described(root)) == (["large", "out"], True)


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="requires /proc")
def test_memory_does_not_grow_with_the_size(machine: Machine) -> None:
    root = make(machine.cwd / "folder", {f"small/{number}": b"%d" % number for number in range(1000)})
    with (root / "large").open("wb") as file:
        os.truncate(file.fileno(), 512 * MIB)
    machine.do("start")
    program = [sys.executable, "-P", "-c", MEASURED]
    code, out, pushing = machine.run("push", "encoder", "folder", program=program)
    assert (code, out) == (0, "encoder@1.0.0\n")
    code, out, pulling = machine.run("pull", "encoder", "-o", "out", program=program)
    assert (code, out, (machine.cwd / "out/large").stat().st_size) == (0, "out\n", 512 * MIB)
    daemon = Path(f"/proc/{machine.pid}/status").read_text()
    peaks = {"push": peak(pushing), "pull": peak(pulling), "daemon": peak(daemon)}
    assert {what: bytes_ // MIB for what, bytes_ in peaks.items() if bytes_ > BOUND} == {}
    (root / "large").unlink()
    (machine.cwd / "out/large").unlink()


# --- the Python client ------------------------------------------------------------------------------------------------


@pytest.fixture
def client(listener: Listener) -> Iterator[OpStoreClient]:
    with OpStoreClient(listener.url, token=ADMIN_TOKEN) as made:
        yield made


@pytest.mark.parametrize("transport", ["HTTP", "in process"])
def test_the_python_client_pushes_and_pulls_folders(
    client: OpStoreClient, server: OpStoreServer, tmp_path: Path, transport: str
) -> None:
    check_folders(client if transport == "HTTP" else InProcessClient(server), tmp_path)


def check_folders(client: BaseOpStoreClient, tmp_path: Path) -> None:
    root = make(tmp_path / "folder", SAMPLE)
    progress: list[tuple[int, int | None]] = []
    client.progress = lambda done, total: progress.append((done, total))
    pushed = client.push("encoder", root, bump="major", message="as it was")
    assert (pushed.format, pushed.message, progress[-1]) == ("folder", "as it was", (pushed.size, pushed.size))
    assert client.push("encoder", str(root)).created is False
    stream = client.pull("encoder")
    assert pushed.digest == f"sha256:{hashlib.sha256(stream).hexdigest()}"
    assert client.pull("encoder", to=tmp_path / "out") == client.show("encoder")
    assert described(tmp_path / "out") == plain(SAMPLE)
    # The bytes of a folder can be pushed with the format `folder`.
    assert client.push("another", stream, format="folder").digest == pushed.digest
    client.pull("another", to=tmp_path / "another")
    assert described(tmp_path / "another") == plain(SAMPLE)


# tests/cli/folders/test_unpacking.py unpacks each of them; here a pull meets some.
@pytest.mark.parametrize(
    "what", [pytest.param(what, marks=pytest.mark.slow if number % 6 else []) for number, what in enumerate(HOSTILE)]
)
def test_a_hostile_stream_of_the_format_folder_writes_nothing(
    client: OpStoreClient, http: Http, tmp_path: Path, what: str
) -> None:
    place = tmp_path / "place"
    victim = place / "victim"
    place.mkdir()
    victim.write_bytes(b"dear")
    stream = HOSTILE[what](str(victim))
    http.push("encoder", stream, format="folder")
    with pytest.raises(errors.FolderRefused):
        client.pull("encoder", to=place / "out")
    with pytest.raises(errors.FolderRefused):
        client.pull("encoder", to=victim, overwrite=True)
    assert (described(place), victim.stat().st_nlink) == ({"victim": b"dear"}, 1)
    assert client.pull("encoder") == stream


def test_the_command_exits_2_for_a_hostile_stream(machine: Machine) -> None:
    machine.do("start")
    with machine.client() as client:
        client.push("encoder", HOSTILE["a link out"](""), format="folder")
    assert machine.run("pull", "encoder") == (
        2,
        "",
        "error: encoder@1.0.0 can't be unpacked: 'link': the link's target '../victim' is outside the folder"
        "\nhint: to get its bytes as they are: opstore pull encoder@1.0.0 -o -\n",
    )
    assert machine.ask("pull", "encoder")[2]["code"] == "FolderRefused"
    assert machine.listing() == []


def test_a_damaged_folder_exits_6_and_leaves_nothing(machine: Machine) -> None:
    make(machine.cwd / "encoder", {**SAMPLE, "large": random_bytes(3 * MIB)})
    machine.do("push", "encoder", "encoder")
    (blob,) = [path for path in (machine.home / "blobs" / "blobs").rglob("*") if path.is_file()]
    blob.chmod(0o600)
    with blob.open("r+b") as file:
        file.write(b"?")
    code, out, err = machine.run("pull", "encoder", program=PROGRAM)
    assert (code, out) == (6, ""), err
    assert machine.listing() == ["encoder"]


def test_a_folder_of_links_out_of_it_can_be_pushed_with_follow_links(machine: Machine) -> None:
    machine.do("start")
    (machine.cwd / "all" / "bert").mkdir(parents=True)
    machine.file("blob", "weights")
    (machine.cwd / "all" / "bert" / "model.bin").symlink_to("../../blob")
    code, out, err = machine.run("push", "bert", "all/bert")
    said = "error: all/bert/model.bin: the link's target '../../blob' is outside the folder\n"
    said += "hint: --follow-links stores what the links lead to, if you trust the folder\n"
    assert (code, out, err) == (2, "", said)
    assert machine.run("push", "bert", "all/bert", "--follow-links") == (0, "bert@1.0.0\n", "")
    assert machine.do("push", "--all", "all", "--follow-links") == "bert@1.0.0"
    machine.do("pull", "bert", "-o", "pulled")
    assert (machine.cwd / "pulled" / "model.bin").read_bytes() == b"weights"
    assert not (machine.cwd / "pulled" / "model.bin").is_symlink()
