"""`push NAME --from-command CMD`: the output of a command, and nothing if it fails."""

import json
import signal
import sys

import pytest

from tests.support.figures import few
from tests.support.machines import Machine
from tests.support.processes import is_running
from tests.support.waiting import wait_for

PUSH = ("push", "pca", "--from-command")


def python(code: str) -> tuple[str, str, str]:
    return sys.executable, "-c", code


def nothing_stored(machine: Machine) -> bool:
    """Return whether the store has no version, and no bytes of an unfinished upload."""
    code, document, _ = machine.ask("status")
    return machine.do("ops") == "" and (code, document["unfinished"]) == (0, [])


def test_the_output_of_a_command_is_stored(machine: Machine) -> None:
    code, out, err = machine.run("push", "pca", "--tag", "best", *PUSH[2:], *python("print('a pca', end='')"))
    assert (code, out, err.splitlines()[1:]) == (0, "pca@1.0.0\n", [])
    assert machine.raw("pull", "pca@best", "-o", "-")[1] == b"a pca"
    assert machine.ask("show", "pca")[1]["filename"] is None


def test_options_after_the_command_are_those_of_the_command(machine: Machine) -> None:
    code = "import sys; print(sys.argv[1:], end='')"
    machine.do(*PUSH, *python(code), "--tag", "x", "-q", "--json", "--", "--from-command", "")
    assert machine.do("pull", "pca", "-o", "-") == "['--tag', 'x', '-q', '--json', '--', '--from-command', '']"
    assert machine.do("tags") == ""


def test_there_is_no_shell(machine: Machine) -> None:
    machine.do(*PUSH, "echo", "$HOME; *", "|", "cat")
    assert machine.raw("pull", "pca", "-o", "-")[1] == b"$HOME; * | cat\n"
    code, out, err = machine.run(*PUSH, "echo hello")
    assert (code, out, err) == (
        2,
        "",
        "error: nothing was stored: the command 'echo hello' failed: it can't be started: No such file or directory\n"
        "hint: there is no shell: give its words one by one, without quotes, or use: sh -c '...'\n",
    )


def test_standard_input_and_error_are_those_of_the_command(machine: Machine) -> None:
    code = "import sys; sys.stderr.write('training\\n'); print(sys.stdin.read().upper(), end='')"
    exit_code, out, err = machine.run(*PUSH, *python(code), stdin=b"in")
    assert (exit_code, out, "training" in err.splitlines()) == (0, "pca@1.0.0\n", True)
    assert machine.raw("pull", "pca", "-o", "-")[1] == b"IN"


@pytest.mark.parametrize("size", few(1, [0, 10, 9 * 1024 * 1024]))
@pytest.mark.parametrize(
    ("end", "reason"), [("sys.exit(3)", "exit code 3"), ("os.kill(os.getpid(), 9)", "it was killed by SIGKILL")]
)
def test_nothing_is_stored_if_the_command_fails(machine: Machine, size: int, end: str, reason: str) -> None:
    machine.do("start")
    code = f"import os, sys; sys.stdout.write('x' * {size}); sys.stdout.flush(); {end}"
    exit_code, out, err = machine.run(*PUSH, *python(code))
    assert (exit_code, out) == (2, "")
    assert err.startswith("error: nothing was stored: the command ")
    assert err.endswith(f" failed: {reason}\n")
    assert nothing_stored(machine)


def test_a_command_that_can_not_be_started_needs_no_daemon(machine: Machine) -> None:
    machine.file("plain", "not a program")
    executable = "hint: to make it executable: chmod +x ./plain\n"
    for command, reason, hint in (
        ("nowhere", "No such file or directory", ""),
        ("./plain", "Permission denied", executable),
    ):
        said = f"error: nothing was stored: the command {command} failed: it can't be started: {reason}\n{hint}"
        assert machine.run(*PUSH, command) == (2, "", said)
    assert not machine.runtime_file.exists()


def test_an_error_with_json_is_json(machine: Machine) -> None:
    machine.do("start")
    code, out, err = machine.raw("push", "pca", "--json", "--from-command", "false")
    assert (code, out) == (2, b"")
    error = json.loads(err)["error"]
    assert (error["code"], error["details"]) == ("CommandFailed", {"command": "false", "reason": "exit code 1"})


def test_an_empty_output_is_stored_with_a_warning(machine: Machine) -> None:
    machine.do("start")
    assert machine.run(*PUSH, "true") == (0, "pca@1.0.0\n", "warning: pca@1.0.0 is empty: it has 0 bytes\n")


@pytest.mark.parametrize(
    "words",
    [
        ("push", "--from-command", "true"),
        ("push", "pca", "-", "--from-command", "true"),
        ("push", "--all", ".", "--from-command", "true"),
        ("push", "pca", "--from-command"),
    ],
)
def test_wrong_usage_runs_nothing(machine: Machine, words: tuple[str, ...]) -> None:
    assert machine.run(*words)[:2] == (2, "")
    assert not machine.runtime_file.exists()


# Writes some output, then its id to a file, then waits.
WAITING = """
import os, signal
print("x" * 100_000, flush=True)
open("started", "w").write(str(os.getpid()))
signal.pause()
"""


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow, id="SIGINT"),  # ends the command after 5 s
        pytest.param(signal.SIGTERM, -signal.SIGTERM, id="SIGTERM"),
        pytest.param(
            signal.SIGHUP,
            -signal.SIGHUP,
            id="SIGHUP",
            marks=pytest.mark.skipif(
                signal.getsignal(signal.SIGHUP) == signal.SIG_IGN, reason="SIGHUP is ignored, as under nohup"
            ),
        ),
    ],
)
def test_a_signal_ends_the_command_and_stores_nothing(machine: Machine, number: signal.Signals, expected: int) -> None:
    machine.do("start")
    process = machine.begin(*PUSH, *python(WAITING), start_new_session=True)
    started = machine.cwd / "started"
    wait_for(lambda: started.exists() and started.read_text() != "", "the command's start")
    child = int(started.read_text())
    process.send_signal(number)  # only to opstore, as `kill` does
    process.communicate(timeout=60)
    assert process.returncode == expected
    wait_for(lambda: not is_running(child), "the end of the command")
    assert nothing_stored(machine)


def test_a_daemon_that_can_not_be_reached_ends_the_command(machine: Machine) -> None:
    code = WAITING
    env = {"OPSTORE_URL": "http://127.0.0.1:1", "OPSTORE_TOKEN": "some-token"}
    process = machine.begin(*PUSH, *python(code), env=env)
    assert (process.communicate(timeout=60)[0], process.returncode) == (b"", 7)
    started = machine.cwd / "started"
    assert not started.exists() or not is_running(int(started.read_text() or "0"))
