"""Interrupted transfers: `status` lists them, and any command line resumes them, even after a kill."""

import json
import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest

from opstore_daemon.protocol.sizes import format_size
from tests.cli.folders.trees import described, make
from tests.e2e.transfer.test_resume import HALF, SIZE, SLACK, content, kill_in_the_middle, staged
from tests.support.figures import few
from tests.support.machines import MIB, Machine
from tests.support.random_bytes import random_bytes
from tests.support.wire import Wire


def unfinished_transfers(machine: Machine, wire: Wire) -> list[dict[str, Any]]:
    """Return the unfinished transfers that `status` lists for the daemon at the other end of the wire."""
    unfinished: list[dict[str, Any]] = machine.ask("status", env=wire.settings)[1]["unfinished"]
    return unfinished


@pytest.mark.slow
def test_status_lists_no_completed_transfers(machine: Machine, wire: Wire) -> None:
    machine.file("blob", content(8 * MIB))
    machine.do("push", "pca", "blob", env=wire.settings)
    machine.do("pull", "pca", "-o", "out", env=wire.settings)
    assert unfinished_transfers(machine, wire) == []
    assert "unfinished" not in machine.run("status", env=wire.settings)[1]


@pytest.mark.slow
def test_status_lists_an_interrupted_push_which_another_command_line_resumes(machine: Machine, wire: Wire) -> None:
    machine.file("blob", content())
    path = "/machine/work/blob"
    wire.stop_up = HALF
    kill_in_the_middle(machine, wire, "push", "pca", "blob")
    (entry,) = unfinished_transfers(machine, wire)
    assert entry == {**entry, "way": "push", "path": path, "version": None, "size": SIZE, "running": False}
    assert HALF - SLACK < entry["offset"] <= HALF
    code, out, err = machine.run("status", env=wire.settings)
    assert (code, err) == (0, "")
    (line,) = [line for line in out.splitlines() if line.startswith("unfinished")]
    assert f"push of {path}: " in line
    assert line.endswith(f"resume with: opstore push NAME {path}")
    wire.cut()  # or the daemon would wait half a minute for the append
    machine.run("stop")
    code, out, err = machine.run("status", env=wire.settings)
    assert (code, out) == (7, "")
    assert f"unfinished: push of {path}: an unknown part of {format_size(SIZE)}" in err
    machine.do("start")
    arrived = wire.up
    wire.reset()
    (machine.cwd / "elsewhere").mkdir()
    words = ("push", "lda", "../blob", "--label", "other=words")
    assert machine.run(*words, env=wire.settings, cwd=machine.cwd / "elsewhere")[:2] == (0, "lda@1.0.0\n")
    assert SIZE - arrived < wire.up < SIZE - HALF + SLACK
    assert unfinished_transfers(machine, wire) == []


@pytest.mark.slow
def test_a_push_of_a_folder_survives_a_kill_of_client_and_daemon(machine: Machine, wire: Wire) -> None:
    make(machine.cwd / "source", {f"{number:02}": random_bytes(MIB, seed=number) for number in range(SIZE // MIB)})
    wire.stop_up = HALF
    kill_in_the_middle(machine, wire, "push", "pca", "source")
    os.kill(machine.pid, signal.SIGKILL)
    machine.do("start")
    (entry,) = unfinished_transfers(machine, wire)
    assert HALF - SLACK < entry["offset"] == staged(machine)
    arrived = wire.up
    wire.reset()
    assert machine.run("push", "lda", "./source/", env=wire.settings)[:2] == (0, "lda@1.0.0\n")
    assert SIZE - arrived < wire.up < SIZE - HALF + SLACK
    assert unfinished_transfers(machine, wire) == []


@pytest.mark.slow
def test_status_lists_no_transfers_of_another_daemon(machine: Machine, wire: Wire) -> None:
    machine.file("blob", content(16 * MIB))
    wire.stop_up = 8 * MIB
    kill_in_the_middle(machine, wire, "push", "pca", "blob")
    assert [each["path"] for each in unfinished_transfers(machine, wire)] == ["/machine/work/blob"]
    (here,) = machine.ask("status")[1]["unfinished"]
    assert (here["path"], here["running"]) == (None, None), "it knows the upload, but not the file"


@pytest.mark.slow
@pytest.mark.parametrize("kind", few(1, ["a large file in a folder", "file", "folder"]))
def test_status_lists_an_interrupted_pull_until_it_is_complete(machine: Machine, wire: Wire, kind: str) -> None:
    if kind == "file":
        machine.file("source", content())
    elif kind == "a large file in a folder":
        make(machine.cwd / "source", {"a": b"small", "large": content(), "z": b"small too"})
    else:
        make(machine.cwd / "source", {f"{number:02}": random_bytes(MIB, seed=number) for number in range(SIZE // MIB)})
    machine.do("push", "pca", "source")
    wire.stop_down = HALF
    kill_in_the_middle(machine, wire, "pull", "pca", "-o", "out")
    (entry,) = unfinished_transfers(machine, wire)
    assert (entry["way"], entry["path"], entry["version"]) == ("pull", "/machine/work/out", "pca@1.0.0")
    assert HALF - SLACK < entry["offset"] <= HALF
    assert "resume with: opstore pull pca@1.0.0 -o /machine/work/out" in machine.run("status", env=wire.settings)[1]
    wire.reset()
    machine.do("pull", "pca@1.0.0", "-o", machine.cwd / "out", env=wire.settings)
    # For a large file in a folder there is an earlier request, for the header of the file.
    assert wire.down < SIZE - entry["offset"] + (SLACK if kind.startswith("a large") else 2 * MIB)
    assert unfinished_transfers(machine, wire) == []
    assert described(machine.cwd / "out") == described(machine.cwd / "source")


def test_status_lists_no_pull_whose_part_was_deleted(machine: Machine, wire: Wire) -> None:
    machine.file("blob", content(16 * MIB))
    machine.do("push", "pca", "blob")
    wire.stop_down = 8 * MIB
    kill_in_the_middle(machine, wire, "pull", "pca", "-o", "out")
    for part in machine.cwd.glob(".out*.part"):
        part.unlink()
    assert unfinished_transfers(machine, wire) == []


@pytest.mark.slow
@pytest.mark.parametrize("way", few(1, ["push", "pull"]))
def test_a_transfer_resumes_when_the_killed_daemon_comes_back(machine: Machine, wire: Wire, way: str) -> None:
    data = content()
    path = machine.file("blob", data)
    if way == "pull":
        machine.do("push", "pca", "blob")
        path.rename(machine.cwd / "pushed")
    setattr(wire, "stop_up" if way == "push" else "stop_down", HALF)
    words = ("push", "pca", "blob") if way == "push" else ("pull", "pca", "-o", "blob")
    process = machine.begin(*words, env=wire.settings)
    assert wire.stopped.wait(60)
    (running,) = unfinished_transfers(machine, wire)
    assert running["running"] is True
    os.kill(machine.pid, signal.SIGKILL)
    machine.do("start")
    moved = wire.up + wire.down
    wire.resume()
    out, err = process.communicate(timeout=60)
    # On a busy machine it takes long enough to print its progress.
    progress = rf"{way} pca: [\d.]+ (\w+ )?of [\d.]+ MB \(\d+ %\)(, [\d.]+ \w+/s(, \d+ \w+ left)?)?"
    unexpected = [line for line in err.decode().splitlines() if re.fullmatch(progress, line) is None]
    assert (process.returncode, unexpected) == (0, []), out
    again = wire.up + wire.down - moved - (SIZE - HALF)
    assert again < SLACK, "only the bytes in flight are sent again"
    assert unfinished_transfers(machine, wire) == []
    with machine.client() as client:
        assert client.pull("pca") == data
    assert Path(path).read_bytes() == data


@pytest.mark.slow
def test_state_files_are_private_and_their_paths_are_escaped(machine: Machine, wire: Wire) -> None:
    name = "a \x1b[31mb"
    machine.file(name, content(16 * MIB))
    wire.stop_up = 8 * MIB
    kill_in_the_middle(machine, wire, "push", "pca", name)
    (note,) = (machine.home / "transfers").iterdir()
    assert note.stat().st_mode & 0o777 == 0o600
    assert json.loads(note.read_bytes())["path"] == str(machine.cwd / name)
    assert "'/machine/work/a \\x1b[31mb'" in machine.run("status", env=wire.settings)[1]
