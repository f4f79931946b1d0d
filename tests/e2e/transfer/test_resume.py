"""Interrupted transfers are resumed, concurrent ones are independent, and memory does not grow with the size."""

import hashlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from opstore_cli import OpStoreClient
from opstore_daemon.protocol.digests import digest_of
from tests.support.machines import MIB, Machine
from tests.support.random_bytes import random_bytes
from tests.support.wire import Wire

SIZE = 32 * MIB
HALF = SIZE // 2
SLACK = 12 * MIB  # bytes that may be in the buffers of sockets when a connection is cut
OVERHEAD = 64 * 1024  # bytes of the request headers


def content(size: int = SIZE) -> bytes:
    """Return bytes in which all mebibytes differ."""
    block = random_bytes(MIB - 8)
    return b"".join(number.to_bytes(8, "big") + block for number in range(size // MIB))


def staged(machine: Machine) -> int:
    """Return the size of all unfinished uploads in the daemon's home."""
    return sum(path.stat().st_size for path in (machine.home / "blobs" / "staging").iterdir())


def kill_in_the_middle(machine: Machine, wire: Wire, *words: str) -> None:
    """Run a command over the wire, and kill it when the wire stops."""
    process = machine.begin(*words, env=wire.settings)
    assert wire.stopped.wait(60)
    process.kill()
    process.communicate(timeout=60)


@pytest.mark.slow
def test_a_killed_push_is_resumed(machine: Machine, wire: Wire) -> None:
    machine.file("blob", content())
    wire.stop_up = HALF
    kill_in_the_middle(machine, wire, "push", "pca", "blob")
    arrived = wire.up
    wire.reset()
    assert HALF - MIB < arrived <= HALF
    assert machine.run("push", "pca", "blob", env=wire.settings) == (0, "pca@1.0.0\n", "")
    assert SIZE - arrived < wire.up < SIZE - HALF + SLACK
    assert staged(machine) == 0
    assert list((machine.home / "transfers").glob("*")) == []


@pytest.mark.slow
def test_a_push_of_a_changed_file_starts_again(machine: Machine, wire: Wire) -> None:
    path = machine.file("blob", content(16 * MIB))
    wire.stop_up = 8 * MIB
    kill_in_the_middle(machine, wire, "push", "pca", "blob")
    wire.reset()
    machine.file("blob", content(16 * MIB))
    assert machine.run("push", "pca", "blob", env=wire.settings) == (0, "pca@1.0.0\n", "")
    assert wire.up > 16 * MIB
    assert machine.raw("pull", "pca", "-o", "-")[1] == path.read_bytes()


@pytest.mark.slow
def test_a_damaged_upload_is_sent_again(machine: Machine, wire: Wire) -> None:
    path = machine.file("blob", content(16 * MIB))
    wire.stop_up = 8 * MIB
    kill_in_the_middle(machine, wire, "push", "pca", "blob")
    wire.reset()
    machine.do("stop")
    (draft,) = (machine.home / "blobs" / "staging").iterdir()
    with draft.open("r+b") as file:
        file.seek(MIB)
        file.write(b"a crash of the machine may leave anything")
    machine.do("start")
    assert machine.run("push", "pca", "blob", env=wire.settings) == (0, "pca@1.0.0\n", "")
    # The missing bytes and, after the wrong checksum, all of them.
    assert wire.up > (8 + 16) * MIB
    assert staged(machine) == 0
    assert machine.raw("pull", "pca", "-o", "-")[1] == path.read_bytes()


@pytest.mark.slow
def test_a_killed_pull_is_resumed(machine: Machine, wire: Wire) -> None:
    data = content()
    machine.file("blob", data)
    machine.do("push", "pca", "blob")
    wire.stop_down = HALF
    kill_in_the_middle(machine, wire, "pull", "pca", "-o", "pulled")
    (part,) = [name for name in machine.listing() if name.endswith(".part")]
    kept = (machine.cwd / part).stat().st_size
    assert HALF - SLACK < kept <= HALF
    wire.reset()
    assert machine.run("pull", "pca", "-o", "pulled", env=wire.settings) == (0, "pulled\n", "")
    assert SIZE - kept < wire.down < SIZE - kept + OVERHEAD
    assert (machine.listing(), (machine.cwd / "pulled").read_bytes() == data) == (["blob", "pulled"], True)


@pytest.mark.slow
def test_a_damaged_part_is_downloaded_again(machine: Machine, wire: Wire) -> None:
    data = content(16 * MIB)
    machine.file("blob", data)
    machine.do("push", "pca", "blob")
    wire.stop_down = 8 * MIB
    kill_in_the_middle(machine, wire, "pull", "pca", "-o", "pulled")
    (part,) = [machine.cwd / name for name in machine.listing() if name.endswith(".part")]
    with part.open("r+b") as file:
        file.write(b"wrong")
    wire.reset()
    assert machine.run("pull", "pca", "-o", "pulled", env=wire.settings) == (0, "pulled\n", "")
    assert (machine.listing(), (machine.cwd / "pulled").read_bytes() == data) == (["blob", "pulled"], True)


def killing(machine: Machine, at: int) -> tuple[Callable[[int, int | None], None], list[int]]:
    """Return a progress callback that kills the daemon at an offset, and the list of offsets after that."""
    resumed_at: list[int] = []
    killed = threading.Event()

    def moved(done: int, _total: int | None) -> None:
        if done >= at and not killed.is_set():
            killed.set()
            machine.kill()
        elif killed.is_set():
            resumed_at.append(done)

    return moved, resumed_at


@pytest.fixture
def client(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Iterator[OpStoreClient]:
    """Return a client that restarts the daemon if necessary, as the commands do."""
    for name in [name for name in os.environ if name.startswith("OPSTORE_")]:
        monkeypatch.delenv(name)
    machine.do("start")
    with machine.client() as made:
        yield made


def test_a_push_survives_a_kill_of_the_daemon(machine: Machine, client: OpStoreClient) -> None:
    path = machine.file("blob", content())
    client.progress, resumed_at = killing(machine, HALF)
    pushed = client.push("pca", path)
    assert (pushed.version, pushed.digest) == ("1.0.0", digest_of(hashlib.sha256(path.read_bytes())))
    assert machine.starts() == 2
    # It resumes from what was on the disk.
    assert resumed_at
    assert min(resumed_at) > HALF - SLACK


@pytest.mark.slow
def test_a_pull_survives_a_kill_of_the_daemon(machine: Machine, client: OpStoreClient) -> None:
    path = machine.file("blob", content())
    client.push("pca", path)
    client.progress, resumed_at = killing(machine, HALF)
    client.pull("pca", to=machine.cwd / "pulled")
    assert (machine.cwd / "pulled").read_bytes() == path.read_bytes()
    assert machine.starts() == 2
    assert resumed_at == sorted(resumed_at)
    assert min(resumed_at) >= HALF


@pytest.mark.slow
def test_an_upload_survives_a_kill_of_client_and_daemon(machine: Machine) -> None:
    path = machine.file("blob", content())
    machine.do("start")
    script = """
import os, signal, sys
from pathlib import Path
from opstore_cli import OpStoreClient
def moved(done, total):
    if done >= int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
OpStoreClient(progress=moved).push("pca", Path(sys.argv[1]))
"""
    program = [sys.executable, "-P", "-c", script]
    assert machine.raw(path, str(HALF), program=program)[0] == -signal.SIGKILL
    machine.kill()
    kept = staged(machine)
    assert HALF - SLACK < kept < SIZE
    machine.do("start")
    resumed_at: list[int] = []
    with machine.client(progress=lambda done, _total: resumed_at.append(done)) as client:
        client.push("pca", path)
    assert resumed_at[0] == kept


def test_two_concurrent_pushes_of_one_file_succeed(machine: Machine) -> None:
    machine.file("blob", content(16 * MIB))
    running = [machine.begin("push", "pca", "blob") for _ in range(2)]
    ended = [(process.communicate(timeout=60)[0], process.returncode) for process in running]
    assert ended == [(b"pca@1.0.0\n", 0)] * 2
    assert machine.do("versions", "pca", "-q") == "pca@1.0.0"
    assert staged(machine) == 0


def test_two_concurrent_pulls_to_one_path_leave_one_complete_file(machine: Machine) -> None:
    data = content(16 * MIB)
    machine.file("blob", data)
    machine.do("push", "pca", "blob")
    running = [machine.begin("pull", "pca", "-o", "pulled") for _ in range(2)]
    codes = sorted((process.communicate(timeout=60), process.returncode)[1] for process in running)
    assert (machine.listing(), (machine.cwd / "pulled").read_bytes() == data) == (["blob", "pulled"], True)
    assert codes == [0, 0]


@pytest.mark.slow
def test_concurrent_pulls_to_several_paths_are_independent(machine: Machine) -> None:
    data = content(16 * MIB)
    machine.file("blob", data)
    machine.do("push", "pca", "blob")
    running = [machine.begin("pull", "pca", "-o", f"pulled{number}") for number in range(3)]
    assert [(process.communicate(timeout=60), process.returncode)[1] for process in running] == [0] * 3
    assert machine.listing() == ["blob", "pulled0", "pulled1", "pulled2"]
    assert {(machine.cwd / f"pulled{number}").read_bytes() == data for number in range(3)} == {True}


# --- memory -----------------------------------------------------------------------------------------------------------

BOUND = 150 * MIB
MEASURED = """
import sys
from opstore_cli.console.command import Session
from opstore_cli.main import main
code = main(sys.argv[1:], Session())
sys.stderr.write(open("/proc/self/status").read())
sys.exit(code)
"""


def peak(status: str) -> int:
    """Return the peak memory of a process in bytes, from its /proc status."""
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="requires /proc")
def test_memory_does_not_grow_with_the_size(machine: Machine) -> None:
    size = 512 * MIB
    with machine.file("blob", b"begin").open("r+b") as file:
        os.truncate(file.fileno(), size)
    machine.do("start")
    program = [sys.executable, "-P", "-c", MEASURED]
    code, out, pushing = machine.run("push", "pca", "blob", program=program)
    assert (code, out) == (0, "pca@1.0.0\n")
    code, out, pulling = machine.run("pull", "pca", "-o", "pulled", program=program)
    assert (code, out, (machine.cwd / "pulled").stat().st_size) == (0, "pulled\n", size)
    piping = machine.begin("pull", "pca", "-o", "-", stdout=subprocess.DEVNULL, program=program)
    piped = piping.communicate(timeout=60)[1].decode()
    daemon = Path(f"/proc/{machine.pid}/status").read_text()
    peaks = {"push": peak(pushing), "pull": peak(pulling), "pipe": peak(piped), "daemon": peak(daemon)}
    assert {what: bytes_ // MIB for what, bytes_ in peaks.items() if bytes_ > BOUND} == {}
    (machine.cwd / "blob").unlink()
    (machine.cwd / "pulled").unlink()
