"""Who the local daemon is: its home's lock and its proof say so, not a copied file, a port or a process id."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.for_each import for_each
from tests.support.homes import held
from tests.support.machines import PROGRAM, STARTED, Machine, a_machine
from tests.support.waiting import WITHIN, wait_for
from tests.support.wire import Stranger, refusing_port

pytestmark = pytest.mark.process
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="proof of a process by /proc")


@contextmanager
def copied(machine: Machine, folder: Path) -> Iterator[Machine]:
    """Yield a machine whose home is a copy of the other's, as `cp -a` makes it."""
    with a_machine(folder) as copy:
        shutil.copytree(machine.home, copy.home, symlinks=True, copy_function=shutil.copy2)
        yield copy


def change_runtime_file(machine: Machine, **changes: Any) -> None:
    """Change the runtime file in place, as if the daemon had written other values."""
    machine.runtime_file.write_text(json.dumps(machine.runtime() | changes))


def test_a_home_copied_while_its_daemon_runs_has_a_daemon_of_its_own(machine: Machine, tmp_path: Path) -> None:
    machine.do("push", "pca", machine.file("blob", "one"))
    with copied(machine, tmp_path / "copy") as copy:
        assert json.loads(copy.runtime_file.read_text())["pid"] == machine.pid
        assert copy.run("status")[0] == 7
        assert copy.run("stop") == (0, "", "no daemon runs for /machine/data\n")
        assert copy.run("push", "pca", copy.file("blob", "two")) == (0, "pca@1.0.1\n", STARTED)
        assert copy.pid != machine.pid
        assert machine.do("versions", "pca", "-q") == "pca@1.0.0"
        assert copy.run("stop") == (0, "", "stopped the local daemon\n")
        assert machine.is_held()
        assert machine.run("status", "-q") == (0, "URL\n", "")


@pytest.mark.slow
def test_a_home_copied_from_a_killed_daemon_and_the_restarted_original_stay_apart(
    machine: Machine, tmp_path: Path
) -> None:
    machine.do("push", "pca", machine.file("blob", "one"))
    machine.kill()
    with copied(machine, tmp_path / "copy") as copy:
        assert machine.run("start")[0] == 0
        original = machine.pid
        assert copy.run("push", "pca", copy.file("blob", "two")) == (0, "pca@1.0.1\n", STARTED)
        machine.kill()
        assert machine.run("status")[0] == 7, "the copy's daemon, which knows the same token, is another one"
        assert machine.run("restart")[0] == 0
        assert machine.pid not in (original, copy.pid)
        assert machine.do("versions", "pca", "-q") == "pca@1.0.0"
        assert copy.do("versions", "pca", "-q") == "pca@1.0.1\npca@1.0.0"


@pytest.mark.slow
def test_the_daemon_of_a_copy_at_the_address_of_the_original_is_not_used(machine: Machine, tmp_path: Path) -> None:
    machine.do("start")
    with copied(machine, tmp_path / "copy") as copy:
        copy.do("start")
        # As if the original ran in another network namespace, where it has the same port.
        change_runtime_file(machine, url=copy.url, port=copy.runtime()["port"])
        code, out, err = machine.run("push", "pca", machine.file("blob", "one"))
        assert (code, out) == (8, "")
        assert "did not prove that it knows the token" in err
        assert copy.do("ops", "-q") == ""


def test_a_home_that_is_reached_by_a_link_has_one_daemon(machine: Machine) -> None:
    machine.do("start")
    link = machine.folder / "link"
    link.symlink_to(machine.home)
    by_link = {"OPSTORE_HOME": str(link)}
    assert machine.run("push", "pca", machine.file("blob", "one"), env=by_link) == (0, "pca@1.0.0\n", "")
    assert machine.run("stop", env=by_link) == (0, "", "stopped the local daemon\n")
    assert machine.starts() == 1


def test_another_host_name_and_the_process_id_of_a_container_are_no_obstacle(machine: Machine) -> None:
    machine.do("start")
    change_runtime_file(machine, pid=1, host="a-container", pid_namespace="pid:[1]")
    assert machine.run("push", "pca", machine.file("blob", "one")) == (0, "pca@1.0.0\n", "")
    assert machine.run("stop") == (0, "", "stopped the local daemon\n")


# --- stopping ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def bystander() -> Iterator["subprocess.Popen[bytes]"]:
    """A process that has nothing to do with opstore."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:  # noqa: S607
        yield process
        assert process.poll() is None
        process.communicate()


def test_stop_asks_the_daemon_and_signals_no_process_by_its_id(
    machine: Machine, bystander: "subprocess.Popen[bytes]"
) -> None:
    machine.do("start")
    change_runtime_file(machine, pid=bystander.pid)
    assert machine.run("stop") == (0, "", "stopped the local daemon\n")
    assert machine.log().rstrip().endswith("stopped")


@pytest.mark.slow
@linux
def test_a_stopped_process_is_named_and_is_replaced(machine: Machine) -> None:
    machine.do("start")
    pid = machine.pid
    os.kill(pid, signal.SIGSTOP)
    code, out, err = machine.run("status")
    assert (code, out) == (7, "")
    assert err == (
        "error: a daemon runs for /machine/data, but it can't be reached: it does not respond at URL within 5 s: "
        f"its process {pid} is stopped\n"
        f"hint: continue process {pid} (SIGCONT, or fg in its shell), or run opstore restart\n"
    )
    code, document, _ = machine.ask("status")
    assert (code, document["running"], document["url"], document["home"]) == (7, True, "URL", "/machine/data")
    assert machine.run("push", "pca", machine.file("blob", "one"))[0] == 7
    assert machine.run("restart") == (0, "URL\n", "restarted\n")
    assert machine.pid != pid
    assert machine.log().count("opstore.daemon stopped") == 1, "it ended in its orderly way"


@pytest.mark.slow
@linux
@for_each(
    ("where", "reason"),
    [
        ({"pid": "bystander"}, "process PID is not proven to hold /machine/data/daemon.lock"),
        ({"pid": 2**31 - 1}, "there is no process PID here"),
        ({"pid_namespace": "pid:[1]"}, "process PID belongs to another PID namespace"),
        ({"host": "trainer-7"}, "process PID belongs to the machine trainer-7"),
    ],
)
def test_a_process_that_is_not_proven_gets_no_signal(
    machine: Machine, bystander: "subprocess.Popen[bytes]", where: dict[str, Any], reason: str
) -> None:
    machine.do("start")
    real = machine.runtime()
    url = f"http://127.0.0.1:{refusing_port()}"
    changes = {key: bystander.pid if value == "bystander" else value for key, value in where.items()}
    change_runtime_file(machine, url=url, port=int(url.rpartition(":")[2]), **changes)
    code, out, err = machine.run("stop")
    assert (code, out) == (7, "")
    assert "can't be reached: connecting to URL (pid " in err
    assert "failed: Connection refused; it may run " in err
    pid = changes.get("pid", real["pid"])
    assert f". No signal was sent: {reason}\n" in err.replace(f"process {pid} ", "process PID ")
    machine.runtime_file.write_text(json.dumps(real))
    assert machine.run("status", "-q") == (0, "URL\n", "")


@pytest.mark.slow
@linux
def test_a_daemon_that_a_request_cannot_stop_gets_a_signal(machine: Machine) -> None:
    machine.do("start")
    url = f"http://127.0.0.1:{refusing_port()}"
    change_runtime_file(machine, url=url, port=int(url.rpartition(":")[2]))
    assert machine.run("stop") == (0, "", "stopped the local daemon\n")


@pytest.mark.slow
def test_a_home_that_is_held_by_another_network_namespace_names_its_host(machine: Machine) -> None:
    machine.do("start")
    real = machine.runtime()
    url = f"http://127.0.0.1:{refusing_port()}"
    change_runtime_file(machine, url=url, port=int(url.rpartition(":")[2]), host="trainer-7", pid=1)
    for words in (["ops"], ["status"], ["push", "pca", machine.file("blob", "one")]):
        code, out, err = machine.run(*words)
        assert (code, out) == (7, "")
        assert (
            "error: a daemon runs for /machine/data, but it can't be reached: connecting to URL (pid PID on trainer-7) "
            "failed: Connection refused; it may run on trainer-7\n"
        ) in err
    machine.runtime_file.write_text(json.dumps(real))


# --- namespaces -------------------------------------------------------------------------------------------------------


def unshared(*options: str) -> bool:
    program = shutil.which("unshare")
    return program is not None and subprocess.run([program, *options, "true"], capture_output=True).returncode == 0


PID_NAMESPACE = ("--pid", "--fork", "--mount-proc")


@pytest.mark.slow
@pytest.mark.skipif(not unshared(*PID_NAMESPACE), reason="requires PID namespaces")
def test_a_daemon_in_another_pid_namespace_is_found_and_stopped(machine: Machine) -> None:
    machine.home.mkdir(mode=0o700)
    serve = ["unshare", *PID_NAMESPACE, *PROGRAM, "serve"]
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(serve, env=machine.environment, cwd=machine.cwd, **quiet) as process:
        try:
            wait_for(machine.runtime_file.exists, "a daemon that listens")
            assert machine.pid == 1
            assert machine.run("push", "pca", machine.file("blob", "one")) == (0, "pca@1.0.0\n", "")
            assert machine.run("stop") == (0, "", "stopped the local daemon\n")
            assert process.wait(WITHIN) == 0
        finally:
            process.kill()


@pytest.mark.skipif(not unshared(*PID_NAMESPACE), reason="requires PID namespaces")
def test_stop_in_another_pid_namespace_stops_the_daemon_and_nothing_else(machine: Machine) -> None:
    machine.do("start")
    script = f"sleep 600 & {PROGRAM[0]} stop && kill -0 $! && kill $!"
    inside = ["unshare", *PID_NAMESPACE, "sh", "-c", script]
    done = subprocess.run(inside, env=machine.environment, cwd=machine.cwd, capture_output=True, timeout=WITHIN)
    assert (done.returncode, done.stderr) == (0, b"stopped the local daemon\n")
    assert not machine.is_held()


@pytest.mark.slow
@pytest.mark.skipif(not unshared("--net"), reason="requires network namespaces")
def test_a_command_in_another_network_namespace_ends_with_exit_code_7(machine: Machine) -> None:
    machine.do("start")
    inside = ["unshare", "--net", *PROGRAM, "ops"]
    done = subprocess.run(inside, env=machine.environment, cwd=machine.cwd, capture_output=True, timeout=WITHIN)
    assert done.returncode == 7
    assert b"can't be reached: connecting to http://127.0.0.1:" in done.stderr
    assert machine.run("status", "-q") == (0, "URL\n", "")


# --- a home that is removed under its daemon --------------------------------------------------------------------------


@pytest.mark.slow
def test_a_daemon_whose_home_was_made_anew_ends_and_leaves_the_new_one_alone(machine: Machine) -> None:
    machine.do("start")
    first = machine.pid
    machine.home.rename(machine.folder / "moved")
    assert machine.run("start")[0] == 0
    wait_for(lambda: machine.daemons() == [machine.pid], "the end of the first daemon")
    assert machine.pid != first
    assert machine.run("push", "pca", machine.file("blob", "one")) == (0, "pca@1.0.0\n", "")


@pytest.mark.slow
def test_a_daemon_whose_lock_file_was_deleted_ends(machine: Machine) -> None:
    machine.do("start")
    (machine.home / "daemon.lock").unlink()
    wait_for(lambda: machine.daemons() == [], "the end of the daemon")
    assert "was removed, replaced or damaged" in machine.log()
    assert machine.run("push", "pca", machine.file("blob", "one")) == (0, "pca@1.0.0\n", STARTED)


@pytest.mark.parametrize(
    ("op", "content"),
    [
        (1, b'{"url": "http'),
        *(pytest.param(*case, marks=pytest.mark.slow) for case in [(0, b""), (2, b"\xff\x00"), (3, b"{}")]),
    ],
)
def test_a_daemon_whose_runtime_file_was_damaged_ends(machine: Machine, op: int, content: bytes) -> None:
    machine.do("start")
    machine.runtime_file.write_bytes(content)
    assert machine.run("push", str(op), machine.file("blob", "one")) == (0, f"{op}@1.0.0\n", STARTED)
    assert len(machine.daemons()) == 1


@linux
@pytest.mark.parametrize(
    ("op", "content"),
    [(1, ""), *(pytest.param(*case, marks=pytest.mark.slow) for case in [(0, None), (2, "of another daemon")])],
)
def test_a_daemon_whose_token_file_was_lost_can_be_stopped_and_replaced(
    machine: Machine, op: int, content: str | None
) -> None:
    token = machine.home / "token"
    machine.do("start")
    token.unlink() if content is None else token.write_text(content)
    code, _, err = machine.run("versions", str(op))
    assert code in (2, 8)
    assert "opstore restart" in err
    if content is None:
        assert machine.run("restart") == (0, "URL\n", "restarted\n")
        assert machine.run("versions", str(op))[0] == 4
        token.unlink()
    assert machine.run("stop") == (0, "", "stopped the local daemon\n")
    wait_for(lambda: machine.daemons() == [], "the end of the daemon")
    token.unlink(missing_ok=True)
    assert machine.run("push", str(op), machine.file("blob", "one")) == (0, f"{op}@1.0.0\n", STARTED)


# --- another program on the port --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "commands",
    [
        pytest.param({"ops": 8}, id="few"),
        pytest.param({"open --print": 8, "status": 8, "doctor": 1, "stop": 0}, id="others", marks=pytest.mark.slow),
    ],
)
def test_no_command_gives_the_token_to_another_program_on_the_port_of_the_url(
    machine: Machine, strangers: Callable[..., Stranger], commands: dict[str, int]
) -> None:
    machine.do("start")
    token = machine.token
    machine.do("stop")
    stranger = strangers("200 OK", "Opstore-Proof: " + "0" * 64 + "\r\n", b"ok\n")
    environment = {"OPSTORE_URL": stranger.url, "OPSTORE_TOKEN": token}
    for words, code in commands.items():
        assert machine.raw(*words.split(), env=environment)[0] == code, words
    assert machine.raw("login", stranger.url, stdin=token.encode())[0] == 8
    assert b"/healthz" in stranger.received
    assert token.encode() not in stranger.received
    assert b"uthorization" not in stranger.received


# --- a lock without an address ----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_command_waits_for_a_daemon_that_is_starting(machine: Machine) -> None:
    machine.home.mkdir(mode=0o700)
    with held(machine.home):
        asking = machine.begin("ops")
        code, out, err = machine.run("status")
        assert (code, out) == (7, "")
        assert "a process holds /machine/data/daemon.lock, and has published no address" in err
        assert asking.poll() is None
    assert asking.communicate(timeout=WITHIN)[0] == b""
    assert asking.returncode == 0
