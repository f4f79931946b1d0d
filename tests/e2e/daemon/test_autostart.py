"""The first command starts the local daemon: exactly one, with no code, token or stream of its caller."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.figures import few
from tests.support.file_modes import mode
from tests.support.machines import MIB, PROGRAM, STARTED, Machine, a_machine
from tests.support.random_bytes import random_bytes
from tests.support.schema import HEAD
from tests.support.waiting import wait_for
from tests.support.wire import Stranger, Wire, refusing_port

pytestmark = pytest.mark.process


@pytest.fixture
def real_machine(tmp_path: Path) -> Iterator[Machine]:
    """Return a machine whose commands and daemons are real processes, for what only the start of one shows."""
    with a_machine(tmp_path / "machine", real=True) as made:
        yield made


linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="requires /proc")


@pytest.mark.slow
def test_twenty_concurrent_pushes_start_one_daemon_and_make_twenty_versions(machine: Machine) -> None:
    for number in range(20):
        machine.file(f"blob{number}", f"content {number}")
    running = [machine.begin("push", "pca", f"blob{number}") for number in range(20)]
    ended = [(*process.communicate(timeout=120), process.returncode) for process in running]
    assert [code for _, _, code in ended] == [0] * 20
    assert sorted(machine.tidy(err.decode()) for _, err, _ in ended) == [""] * 19 + [STARTED]
    assert (machine.starts(), len(machine.daemons())) == (1, 1)
    _, document, _ = machine.ask("versions", "pca")
    versions = document["versions"]
    assert [version["sequence"] for version in versions] == list(range(20, 0, -1))
    assert {f"pca@{version['version']}\n" for version in versions} == {out.decode() for out, _, _ in ended}


def test_concurrent_starts_stops_and_restarts_leave_at_most_one_daemon(machine: Machine) -> None:
    running = [machine.begin(words) for words in ("start", "ops", "start", "restart", "ops", "restart")]
    ended = [(process.communicate(timeout=120)[1], process.returncode) for process in running]
    assert [code for _, code in ended] == [0] * 6, ended
    assert machine.run("status", "-q") == (0, "URL\n", "")
    wait_for(lambda: machine.daemons() == [machine.pid], "the end of all daemons but one")
    running = [machine.begin("stop") for _ in range(4)]
    assert [(process.communicate(timeout=120)[0], process.returncode) for process in running] == [(b"", 0)] * 4
    wait_for(lambda: machine.daemons() == [], "the end of the daemon")


@pytest.mark.slow
def test_the_streams_of_the_command_close_while_the_daemon_runs(real_machine: Machine) -> None:
    reading, writing = os.pipe()
    os.set_inheritable(writing, True)
    process = real_machine.begin("ops", pass_fds=[writing], stdin=subprocess.PIPE)
    os.close(writing)
    # communicate() waits until every process has closed the pipes.
    assert process.communicate(timeout=60)[0] == b""
    assert os.read(reading, 1) == b""
    os.close(reading)
    assert real_machine.is_held()


@pytest.mark.slow
@linux
def test_the_daemon_holds_no_stream_terminal_or_folder_of_its_starter(real_machine: Machine) -> None:
    assert real_machine.on_a_terminal("ops")[0] == 0
    process = Path(f"/proc/{real_machine.pid}")
    assert os.readlink(process / "cwd") == str(real_machine.home)
    open_files = {int(each.name): os.readlink(each) for each in (process / "fd").iterdir()}
    assert {open_files[number] for number in (0, 1, 2)} == {"/dev/null"}
    outside = [name for name in open_files.values() if name.startswith("/") and name != "/dev/null"]
    assert [name for name in outside if not name.startswith(str(real_machine.home))] == []
    assert not any("pipe:" in name for name in open_files.values() if name not in _own_pipes(real_machine.pid))
    fields = (process / "stat").read_text().rpartition(")")[2].split()
    group, session, terminal = (int(field) for field in fields[2:5])
    assert (group, session, terminal) == (real_machine.pid, real_machine.pid, 0)


def _own_pipes(pid: int) -> set[str]:
    """Return the pipes of which the process holds both ends, such as the one that wakes waitress's loop."""
    held: dict[str, int] = {}
    for each in Path(f"/proc/{pid}/fd").iterdir():
        name = os.readlink(each)
        held[name] = held.get(name, 0) + 1
    return {name for name, count in held.items() if count > 1}


@pytest.mark.slow
@linux
def test_the_daemon_inherits_no_credential_of_the_caller(real_machine: Machine) -> None:
    real_machine.do(
        "start", env={"OPSTORE_TOKEN": "a-secret", "OPSTORE_TOKEN_FILE": "/x", "OPSTORE_URL": "http://127.0.0.1:9"}
    )
    environment = Path(f"/proc/{real_machine.pid}/environ").read_bytes()
    assert [name for name in (b"OPSTORE_TOKEN", b"OPSTORE_URL", b"a-secret") if name in environment] == []


MODULES = ["json", "click", "sitecustomize", "usercustomize", "msgspec", "requests", "logging", "flask", "waitress"]
PACKAGES = ["opstore_daemon", "opstore_cli"]


@pytest.mark.slow
def test_no_code_is_imported_from_the_working_directory_or_the_data_folder(real_machine: Machine) -> None:
    real_machine.home.mkdir(mode=0o700)
    for folder in (real_machine.cwd, real_machine.home):
        evil = f"open({str(real_machine.folder / 'taken')!r}, 'a').write({str(folder)!r})\n"
        for name in MODULES:
            (folder / f"{name}.py").write_text(evil)
        for name in PACKAGES:
            (folder / name).mkdir()
            for module in ("__init__", "__main__"):
                (folder / name / f"{module}.py").write_text(evil)
    real_machine.file("blob", "one")
    assert real_machine.run("push", "pca", "blob") == (0, "pca@1.0.0\n", STARTED)
    assert real_machine.run("restart") == (0, "URL\n", "restarted\n")
    assert real_machine.run("stop") == (0, "", "stopped the local daemon\n")
    assert real_machine.run("db", "current") == (0, f"{HEAD} (this opstore needs {HEAD})\n", "")
    with real_machine.serving():
        assert real_machine.run("ops", "-q") == (0, "pca\n", "")
    assert not (real_machine.folder / "taken").exists()
    # A careless program would import these.
    subprocess.run(
        [sys.executable, "-c", "import msgspec"], cwd=real_machine.cwd, env=real_machine.environment, check=False
    )
    assert (real_machine.folder / "taken").exists()


# --- the runtime file -------------------------------------------------------------------------------------------------


def write_runtime_file(machine: Machine, **said: Any) -> None:
    machine.home.mkdir(mode=0o700, exist_ok=True)
    content = {"url": "http://127.0.0.1:1", "port": 1, "pid": os.getpid(), "version": "0.1.0", **said}
    machine.runtime_file.write_text(json.dumps(content))


def test_a_stranger_on_the_port_gets_no_token_and_no_request(
    machine: Machine, strangers: Callable[..., Stranger]
) -> None:
    machine.file("blob", "one")
    machine.do("start")
    machine.do("stop")
    stranger = strangers("200 OK", "Opstore-Proof: " + "0" * 64 + "\r\n", b"ok\n")
    write_runtime_file(machine, url=stranger.url, port=stranger.port)
    assert machine.run("push", "pca", "blob") == (0, "pca@1.0.0\n", STARTED)
    assert stranger.connections == 0, "the file does not count: no daemon holds the home"
    write_runtime_file(machine, url=stranger.url, port=stranger.port)
    # The daemon sees within a second that the file is no longer its own, and ends; then the push starts another one.
    assert machine.raw("push", "pca", "blob")[0] in (0, 8)
    asked = [line for line in stranger.received.split(b"\r\n") if line.startswith((b"GET", b"POST", b"PATCH"))]
    assert set(asked) <= {b"GET /healthz HTTP/1.1"}
    assert (machine.token.encode() in stranger.received, b"uthorization" in stranger.received) == (False, False)


@pytest.mark.slow
def test_a_program_that_relays_the_real_daemons_proof_gets_no_token(machine: Machine) -> None:
    machine.do("start")
    real = machine.runtime()
    with Wire(machine, proves=False) as between:
        # The proof includes the port: the daemon's proof for its own port is invalid for another.
        original = between._machine.runtime
        between._machine.runtime = lambda: real  # type: ignore[method-assign]
        write_runtime_file(machine, **{**real, "url": between.url, "port": between.port})
        code, _, err = machine.run("ops", env={"OPSTORE_NO_AUTOSTART": "1"})
        between._machine.runtime = original  # type: ignore[method-assign]
        assert (code, err.splitlines()[0]) == (
            8,
            "error: URL did not prove that it knows the token, which was not sent: a wrong token, or another program",
        )
        assert (between.connections, between.up > 0) == (1, True)
    machine.runtime_file.write_text(json.dumps(real))


def test_the_process_in_a_stale_runtime_file_is_left_alone(machine: Machine) -> None:
    bystander = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        write_runtime_file(machine, pid=bystander.pid, url=f"http://127.0.0.1:{refusing_port()}")
        assert machine.run("stop") == (0, "", "no daemon runs for /machine/data\n")
        write_runtime_file(machine, pid=bystander.pid)
        assert machine.run("restart") == (0, "URL\n", "restarted\n")
        assert bystander.poll() is None
    finally:
        bystander.communicate(b"\n")


STALE: dict[str, str] = {
    "of a dead process": json.dumps({"url": "http://127.0.0.1:1", "port": 1, "pid": 2**22 - 1, "version": "0.1.0"}),
    "half written": '{"url": "http://127.0.0.1:1", "po',
    "empty": "",
    "of another form": '["http://127.0.0.1:1"]',
    "of another machine": json.dumps({"url": "http://192.0.2.1:80", "port": 80, "pid": 100, "version": "0.1.0"}),
    "of no process": json.dumps({"url": "http://127.0.0.1:1", "port": 1, "pid": 0, "version": "0.1.0"}),
    "binary": "\x00\x1f",
}


@pytest.mark.parametrize("kind", few(2, STALE))
def test_an_invalid_runtime_file_is_ignored(machine: Machine, kind: str) -> None:
    machine.home.mkdir(mode=0o700)
    machine.runtime_file.write_text(STALE[kind])
    assert machine.run("status")[0] == 7
    assert machine.run("ops") == (0, "", STARTED)


def test_a_killed_daemon_is_restarted_with_all_its_data(machine: Machine) -> None:
    machine.file("blob", "one")
    machine.do("push", "pca", "blob")
    first = machine.pid
    machine.kill()
    assert machine.run("status")[0] == 7
    assert machine.run("versions", "pca", "-q") == (0, "pca@1.0.0\n", STARTED)
    assert (machine.starts(), machine.pid != first) == (2, True)


# --- the token file ---------------------------------------------------------------------------------------------------


def test_the_data_folder_is_private_to_its_owner(machine: Machine) -> None:
    machine.file("blob", "one")
    machine.do("push", "pca", "blob", umask=0)
    assert mode(machine.home) == 0o700
    everything = [path for path in machine.home.rglob("*") if not path.is_symlink()]
    assert [path.name for path in everything if mode(path) & 0o077] == []


def test_a_missing_token_is_created_again(machine: Machine) -> None:
    machine.do("start")
    first = machine.token
    machine.do("stop")
    (machine.home / "token").unlink()
    assert machine.run("ops") == (0, "", STARTED)
    assert (machine.token != first, mode(machine.home / "token")) == (True, 0o600)


def test_the_start_makes_a_readable_token_file_private(machine: Machine) -> None:
    machine.do("start")
    machine.do("stop")
    (machine.home / "token").chmod(0o644)
    assert machine.run("ops") == (0, "", STARTED)
    assert mode(machine.home / "token") == 0o600


@pytest.mark.parametrize("content", ["", "\n", "short"])
def test_a_token_file_without_a_token_is_reported_and_starts_nothing(machine: Machine, content: str) -> None:
    machine.home.mkdir(mode=0o700)
    (machine.home / "token").write_text(content)
    said = (
        "error: the local daemon did not start: /machine/data/token: it contains no valid token; "
        "delete the file to get a new one\n"
        "hint: opstore serve shows why; its log is /machine/data/daemon.log\n"
    )
    assert machine.run("ops") == (7, "", said)
    wait_for(lambda: machine.daemons() == [], "the end of the daemon")


def test_a_link_in_place_of_the_token_is_not_followed(machine: Machine) -> None:
    machine.home.mkdir(mode=0o700)
    victim = machine.folder / "victim"
    (machine.home / "token").symlink_to(victim)
    code, out, err = machine.run("ops")
    assert (code, out, err.startswith("error: ")) == (7, "", True)
    assert not victim.exists()


def test_a_home_that_cannot_be_created_is_refused(machine: Machine) -> None:
    machine.file("blob", "one")
    said = "error: OPSTORE_HOME (/machine/work/blob): File exists\n"
    assert machine.run("ops", env={"OPSTORE_HOME": str(machine.cwd / "blob")}) == (2, "", said)


# --- versions and stopping --------------------------------------------------------------------------------------------


def test_a_daemon_of_another_version_is_named_and_restart_replaces_it(machine: Machine) -> None:
    machine.do("start")
    first = machine.pid
    machine.runtime_file.write_text(json.dumps({**machine.runtime(), "version": "0.0.9"}))
    named = "the local daemon runs opstore 0.0.9, this is opstore 0.1.0; opstore restart replaces it\n"
    assert machine.run("ops") == (0, "", named)
    assert machine.run("ops", "-q") == (0, "", named)
    code, out, err = machine.run("status")
    assert (code, "version\t0.0.9\n" in out, err) == (0, True, f"warning: {named}")
    assert machine.run("start") == (0, "URL\n", f"already running\nwarning: {named}")
    assert machine.run("restart") == (0, "URL\n", "restarted\n")
    assert (machine.pid != first, machine.runtime()["version"]) == (True, "0.1.0")
    assert machine.run("ops") == (0, "", "")


@pytest.mark.slow
def test_an_idle_daemon_stops_and_the_next_command_starts_it_again(machine: Machine) -> None:
    idle = {"OPSTORE_IDLE_TIMEOUT": "1"}
    machine.file("blob", "one")
    assert machine.run("push", "pca", "blob", env=idle) == (0, "pca@1.0.0\n", STARTED)
    wait_for(lambda: not machine.is_held(), "the end of the idle daemon")
    assert (machine.runtime_file.exists(), machine.run("status")[0]) == (False, 7)
    assert machine.run("versions", "pca", "-q", env=idle) == (0, "pca@1.0.0\n", STARTED)


def test_an_invalid_idle_timeout_is_reported_and_starts_nothing(machine: Machine) -> None:
    code, out, err = machine.run("ops", env={"OPSTORE_IDLE_TIMEOUT": "soon"})
    assert (code, out, "OPSTORE_IDLE_TIMEOUT" in err) == (7, "", True)
    wait_for(lambda: machine.daemons() == [], "the end of the daemon")


@pytest.mark.slow
def test_a_daemon_that_stops_finishes_its_requests_first(machine: Machine) -> None:
    machine.do("start")
    machine.file("blob", random_bytes(MIB) * 16)
    with Wire(machine) as wire:
        wire.stop_up = 8 * MIB
        pushing = machine.begin("push", "pca", "blob", env=wire.settings)
        assert wire.stopped.wait(60)
        os.kill(machine.pid, signal.SIGTERM)
        wire.resume()
        _, err = pushing.communicate(timeout=60)
    # The upload was completed; the daemon then refused the request for the version.
    wait_for(lambda: not machine.is_held(), "the end of the daemon")
    assert pushing.returncode in (0, 7), err
    assert machine.raw("push", "pca", "blob")[:2] == (0, b"pca@1.0.0\n")


@pytest.mark.slow
def test_a_command_interrupted_during_the_start_leaves_at_most_one_daemon(real_machine: Machine) -> None:
    process = real_machine.begin("ops")
    wait_for(lambda: (real_machine.home / "start.lock").exists(), "the start")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode in (0, 130)
    assert real_machine.run("ops")[0] == 0
    wait_for(lambda: real_machine.daemons() == [real_machine.pid], "the end of all daemons but one")


def test_the_program_can_be_run_as_a_module(machine: Machine) -> None:
    program = [sys.executable, "-P", "-m", "opstore_cli"]
    assert machine.run("--version", program=program) == machine.run("--version", program=PROGRAM)
