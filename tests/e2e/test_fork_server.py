"""A forked command does exactly what a real process of it does, and the fork server never fails silently."""

import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from opstore_cli.console.application import COMMANDS
from tests.support import forked
from tests.support.file_modes import mode
from tests.support.machines import Machine, a_machine
from tests.support.random_bytes import random_bytes
from tests.support.waiting import WITHIN, wait_for
from tests.support.wire import Wire

pytestmark = pytest.mark.skipif(not forked.AVAILABLE, reason="other systems start real processes")

# Each command at least once, in an order in which they succeed.
SESSION = """
status
start
help push
push forest blob
push pca blob --tag stable --valid-for forest
push pca blob --new --bump major --json
edit pca -m better --label run=17
diff pca@1.0.0 pca@2.0.0
log pca
register tokenizer --field major:language=en
ops
versions pca --json
show pca@1.0.0 -q
tag pca@1.0.0 production
tags
untag pca production
link pca@2.0.0 forest
links pca
unlink pca@2.0.0 forest
validate pca forest
pipeline register churn pca forest
graph churn
verify churn -q --run true
runs churn -q
bisect churn --good 3 -q --run true
resolve churn --lock opstore.lock
affected pca
op set pca --compat minor
yank pca@2.0.0 --reason late
unyank pca@2.0.0
remove pca@2.0.0 --force
gc --dry-run -q
pull pca@1.0.0 -o pulled
pull pca@1.0.0 -o -
backup saved -q
backup --check saved -q
restore saved
migrate
db current
config show
logs -n 0
import chariots --db nothing
export pca -d exported -q
fsck
open --print
token
login URL
copy pca --to URL
logout URL
completion bash
doctor --json
nothing
restart
stop
"""
LINES = SESSION.strip().splitlines()
# Without a daemon, its start, standard input and output, JSON, an error of the daemon and one of the words, the stop.
FEW = """
status
start
push forest blob
push pca blob --tag stable --valid-for forest
versions pca --json
pull pca@2.0.0
pull pca@1.0.0 -o -
nothing
stop
""".strip().splitlines()


def test_the_session_has_each_command() -> None:
    assert {line.split()[0] for line in LINES} >= set(COMMANDS) - {"serve"}  # always a real process


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.parametrize("lines", [FEW, pytest.param(LINES, marks=pytest.mark.slow)], ids=["few", "all"])
def test_each_command_is_the_same_forked_and_real(tmp_path: Path, lines: list[str]) -> None:
    """Compare exit codes and outputs, command by command, of two machines with the same history."""
    with a_machine(tmp_path / "real", real=True) as real, a_machine(tmp_path / "forked") as other:
        for machine in (real, other):
            machine.file("blob", "bytes")
        for line in lines:
            expected, found = (_outcome(machine, line) for machine in (real, other))
            assert found == expected, line
        assert other.listing() == real.listing()


def _outcome(machine: Machine, line: str) -> tuple[int, str, str]:
    url = machine.url if machine.runtime_file.exists() else "URL"
    code, out, err = machine.run(*line.replace("URL", url).split(), stdin=f"{'t' * 43}\n".encode())
    # Values that differ by machine or time.
    out = re.sub(r"\b\d+(\.\d+)? GB\b", "ROOM", re.sub(r"(URL/\S+|\b[\w-]{43}\b)", "SECRET", out))
    return code, re.sub(r"pid \d+", "pid PID", out), err


@pytest.mark.slow
@pytest.mark.process
def test_signals_and_exit_codes_are_those_of_a_real_process(machine: Machine, wire: Wire) -> None:
    """Interrupt and kill a push twice: forked, then real."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        ended = []
        for real in (False, True):
            machine.real = real
            new = random_bytes(3_000_000, seed=2 * number + real)  # or the second push would resume the first
            machine.file("blob", new)
            wire.reset()
            wire.stop_up = 1_000_000
            with machine.begin("push", f"op{number:d}-{real:d}", "blob", env=wire.settings) as process:
                wait_for(wire.stopped.is_set, "a push in the middle")
                process.send_signal(number)
                ended.append((process.communicate(timeout=WITHIN), process.returncode))
        assert ended[0] == ended[1]


def test_a_command_inherits_what_a_process_inherits(machine: Machine) -> None:
    machine.do("push", "pca", "-", stdin=b"bytes")
    folder = machine.cwd / "elsewhere"
    folder.mkdir()
    before = os.umask(0o077)
    try:
        assert machine.run("pull", "pca", "-o", "pulled", cwd=folder, env={"NO_COLOR": "1"})[0] == 0
    finally:
        os.umask(before)
    assert mode(folder / "pulled") == 0o600
    with pytest.raises(FileNotFoundError):
        machine.run("ops", cwd=machine.cwd / "missing")
    code, out, err = machine.raw("ops", "-q", stderr=subprocess.STDOUT, env={"OPSTORE_URL": "nonsense"})
    assert (code, out[:6], err) == (2, b"error:", b"")


@pytest.mark.parametrize("new", [False, True], ids=["in the group of the test", "in a session of its own"])
def test_a_command_runs_in_the_requested_process_group(machine: Machine, new: bool) -> None:
    machine.do("start")
    with machine.begin("push", "pca", "-", stdin=subprocess.PIPE, start_new_session=new) as process:
        group = os.getpgid(0) or process.pid  # 0: a group from outside of this PID namespace, which nobody can join
        assert (os.getpgid(process.pid), os.getsid(process.pid)) == (
            (process.pid, process.pid) if new else (group, os.getsid(0))
        )
        assert process.communicate(b"bytes", WITHIN) == (b"pca@1.0.0\n", b"")


def test_a_command_has_no_descriptor_of_the_server(machine: Machine) -> None:
    machine.do("start")
    with machine.begin("push", "pca", "-", stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        # It reads standard input, so its descriptors are open.
        wait_for(lambda: "pipe" in Path(f"/proc/{process.pid}/wchan").read_text(), "a read of stdin")
        open_files = {int(each.name): os.readlink(each) for each in Path(f"/proc/{process.pid}/fd").iterdir()}
        assert not [name for name in open_files.values() if "opstore-fork" in name or "anon_inode" in name]
        process.communicate(b"bytes", WITHIN)


def _is_zombie(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def test_a_command_that_ended_is_not_confused_with_a_running_one(machine: Machine) -> None:
    """Reap zombies whose descriptors in the server were closed, when others of a running command have their numbers."""
    machine.do("start")
    ended = [machine.begin("--version") for _ in range(2)]
    for process in ended:
        assert process.stdout is not None
        process.stdout.read()
        wait_for(partial(_is_zombie, process.pid), "a zombie")
    machine.do("--version")  # by now the server has reported what ended before
    with machine.begin("push", "pca", "-", stdin=subprocess.PIPE) as running:
        for process in ended:
            with process:
                process.wait(WITHIN)
        machine.do("--version")  # by now it has reaped them
        assert running.communicate(b"bytes", WITHIN) == (b"pca@1.0.0\n", b"")


def test_a_timeout_is_raised_and_the_command_can_be_ended(machine: Machine) -> None:
    machine.do("start")
    with machine.begin("push", "pca", "-", stdin=subprocess.PIPE) as process:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.01)
        assert process.poll() is None
        process.terminate()
        assert process.wait(WITHIN) == -signal.SIGTERM


def test_other_startup_variables_of_python_start_a_real_process(machine: Machine) -> None:
    with machine.begin("--version") as process:
        assert isinstance(process, forked.Process)
    with machine.begin("--version", env={"PYTHONDEVMODE": "1"}) as process:
        assert isinstance(process, subprocess.Popen)


Start = Callable[[], forked.ForkServer]


@pytest.fixture
def started() -> Iterator[Start]:
    """Start fork servers that end with the test."""
    servers: list[forked.ForkServer] = []

    def start() -> forked.ForkServer:
        servers.append(forked.ForkServer("opstore_cli", {"LC_ALL": "C.UTF-8"}))
        return servers[-1]

    yield start
    for server in servers:
        server.kill()


ENVIRONMENT = {"LC_ALL": "C.UTF-8", "PATH": os.defpath}


@pytest.mark.slow
def test_a_server_that_died_fails_the_test(started: Start, tmp_path: Path) -> None:
    server = started()
    words = ["opstore", "login", "http://127.0.0.1:1"]
    with server.start(words, env=ENVIRONMENT, cwd=tmp_path, stdin=subprocess.PIPE) as process:
        server.kill()
        with pytest.raises(forked.ForkServerDied):
            process.wait(WITHIN)
    with pytest.raises(forked.ForkServerDied):
        server.start(["opstore", "--version"], env=ENVIRONMENT, cwd=tmp_path)


@pytest.mark.slow
def test_children_end_with_their_test_and_with_the_server(started: Start, tmp_path: Path) -> None:
    server = started()
    words = ["opstore", "login", "http://127.0.0.1:1"]
    with (
        server.start(words, env=ENVIRONMENT, cwd=tmp_path, stdin=subprocess.PIPE) as one,
        server.start(words, env=ENVIRONMENT, cwd=tmp_path, stdin=subprocess.PIPE) as other,
    ):
        one.abandon()
        wait_for(lambda: not _runs(one), "the end of a child whose test has gone")
        assert _runs(other)
        server.close()
        other.abandon()
        wait_for(lambda: not _runs(other), "the end of a child whose server has gone")


def _runs(process: forked.Process) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{process.pid}/status").read_text()
    except FileNotFoundError:
        return False


@pytest.mark.slow
def test_a_server_does_not_fork_for_other_startup_settings(started: Start, tmp_path: Path) -> None:
    server = started()
    assert not server.serves({**ENVIRONMENT, "PYTHONPATH": str(tmp_path)})
    with pytest.raises(forked.ForkServerDied, match="PYTHONPATH"):
        server.start(["opstore"], env={**ENVIRONMENT, "PYTHONPATH": str(tmp_path)}, cwd=tmp_path)
