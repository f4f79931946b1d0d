"""A command as a child: what it may use, and that nothing of it stays."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from opstore_cli.processes import ending, group, output
from opstore_cli.processes.ending_signals import Ended, EndingSignals
from opstore_cli.processes.output import KeptOutput
from opstore_cli.processes.run import Finished, run
from opstore_daemon.protocol import errors
from tests.support.processes import is_running
from tests.support.waiting import wait_for

pytestmark = pytest.mark.skipif(os.name != "posix", reason="process groups are of POSIX")


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ending, "GRACE", 0.2)
    monkeypatch.setattr(group, "GRACE", 0.2)
    monkeypatch.setattr(output, "IDLE", 0.05)


@pytest.fixture
def signals() -> Iterator[EndingSignals]:
    with EndingSignals() as made:
        yield made


def shell(
    script: str, signals: EndingSignals, timeout: float | None = None, **environment: str
) -> tuple[Finished, str]:
    kept = KeptOutput()
    finished = run(["sh", "-c", script], {**os.environ, **environment}, kept, signals, timeout=timeout)
    return finished, kept.text()


def test_output_and_errors_are_one_stream(signals: EndingSignals) -> None:
    finished, text = shell("echo one; echo two >&2; echo $NAME; exit 3", signals, NAME="three")
    assert (finished.exit_code, text, finished.left_output_open) == (3, "one\ntwo\nthree\n", False)


def test_a_command_has_no_terminal_and_no_input(signals: EndingSignals) -> None:
    finished, text = shell("cat; (: < /dev/tty) 2>/dev/null || echo no terminal", signals)
    assert (finished.exit_code, text) == (0, "no terminal\n")
    kept = KeptOutput()  # the tests may have no terminal either
    run([sys.executable, "-c", "import os; print(os.getsid(0) == os.getpid())"], os.environ, kept, signals)
    assert kept.text() == "True\n"


def test_a_signal_that_kills_a_command_is_its_exit_code(signals: EndingSignals) -> None:
    assert shell("kill -9 $$", signals)[0].exit_code == -9


def test_a_command_that_takes_too_long_is_ended_with_all_that_it_started(signals: EndingSignals) -> None:
    finished, text = shell("trap '' TERM; sleep 600 & echo $!; echo waiting; wait", signals, timeout=0.3)
    assert finished.exit_code is None
    left, said = text.splitlines()
    assert said == "waiting"
    wait_for(lambda: not is_running(int(left)), "the end of what the command started")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="/proc says that a process is stopped")
def test_a_process_that_has_stopped_itself_gets_the_signal(
    signals: EndingSignals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group, "GRACE", 10)
    stopped = "trap 'echo ended; exit' TERM; kill -STOP $$"
    script = 'sh -c "$STOPPED" & until grep -q "^State:.T" /proc/$!/status; do sleep 0.01; done'
    assert shell(script, signals, STOPPED=stopped)[1] == "ended\n"


def test_what_a_command_leaves_in_its_group_is_ended(signals: EndingSignals) -> None:
    script = "(trap '' TERM; echo $$; while :; do sleep 600; done) & sleep 600 & echo $!"
    finished, text = shell(script, signals)
    assert (finished.exit_code, finished.left_output_open) == (0, False)
    wait_for(lambda: not is_running(int(text.splitlines()[-1])), "the end of what the command left")


LEAVES_THE_GROUP = """
import os, time
reader, writer = os.pipe()
if os.fork() == 0:
    os.setsid()
    print(os.getpid(), flush=True)
    os.write(writer, b".")
    time.sleep(600)
os.read(reader, 1)
"""


def test_a_process_that_left_the_group_is_not_waited_for(signals: EndingSignals) -> None:
    kept = KeptOutput()
    finished = run([sys.executable, "-c", LEAVES_THE_GROUP], os.environ, kept, signals)
    os.kill(int(kept.text()), signal.SIGKILL)
    assert (finished.exit_code, finished.left_output_open) == (0, True)


def test_a_process_that_left_the_group_and_never_stops_printing_is_not_waited_for(signals: EndingSignals) -> None:
    kept = KeptOutput()
    code = LEAVES_THE_GROUP.replace("time.sleep(600)", "while True: os.write(1, b'x' * 60000)")
    finished = run([sys.executable, "-c", code], os.environ, kept, signals)
    os.kill(int(kept.text().split()[0].rstrip("x")), signal.SIGKILL)
    assert (finished.exit_code, finished.left_output_open) == (0, True)


def test_gigabytes_are_counted_and_not_kept(signals: EndingSignals) -> None:
    finished, text = shell("head -c 40000000 /dev/zero | tr '\\0' x; echo end", signals)
    assert finished.exit_code == 0
    assert len(text) < 200_000
    assert text.endswith("xxxend\n")


def test_output_is_copied_as_it_arrives(signals: EndingSignals, tmp_path: Path) -> None:
    seen = threading.Event()
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)

    def copy(data: bytes) -> None:
        assert data == b"first\n"
        if not seen.is_set():
            seen.set()
            fifo.write_bytes(b"")  # lets the command go on

    kept = KeptOutput()
    run(["sh", "-c", f"echo first; cat {fifo}"], os.environ, kept, signals, copy=copy)
    assert seen.is_set()
    assert kept.text() == "first\n"


def test_an_error_of_the_copy_is_raised_after_the_command_ended(signals: EndingSignals) -> None:
    def copy(data: bytes) -> None:
        raise BrokenPipeError

    kept = KeptOutput()
    with pytest.raises(BrokenPipeError):
        run(["sh", "-c", "echo one; echo two"], os.environ, kept, signals, copy=copy)
    assert kept.text() == "one\ntwo\n"


@pytest.mark.parametrize(
    ("words", "reason", "advice"),
    [
        (["nowhere-at-all"], "No such file or directory", ""),
        (["sh -c true"], "No such file or directory", "there is no shell"),
        (["./plain"], "Permission denied", "chmod +x ./plain"),
        (["plain"], "No such file or directory", "./plain"),
        (["./headless"], "Exec format error", "#!/bin/sh"),
        (["./lost"], "No such file or directory", "#!/bin/sh"),
    ],
)
def test_a_command_that_can_not_be_started_says_why(
    words: list[str], reason: str, advice: str, signals: EndingSignals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plain").write_text("true\n")
    for name, text in (("headless", "true\n"), ("lost", "#!/nowhere\n")):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    with pytest.raises(errors.CommandNotStarted, match=reason) as caught:
        run(words, os.environ, KeptOutput(), signals)
    assert advice in caught.value.advice
    assert bool(advice) == bool(caught.value.advice)


@pytest.mark.parametrize(
    ("number", "raised"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Ended), (signal.SIGQUIT, Ended)]
)
def test_a_signal_ends_the_whole_group_before_this_process(
    number: signal.Signals, raised: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    received: list[int] = []
    before = {each: signal.signal(each, signal.SIG_DFL) for each in (signal.SIGTERM, signal.SIGQUIT)}
    monkeypatch.setattr(signal, "raise_signal", received.append)
    kept = KeptOutput()

    def copy(data: bytes) -> None:
        os.kill(os.getpid(), number)

    try:
        with pytest.raises(raised), EndingSignals() as signals:
            run(["sh", "-c", "sleep 600 & echo $!; wait"], os.environ, kept, signals, copy=copy)
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
    assert received == ([] if number == signal.SIGINT else [number])
    assert not is_running(int(kept.text()))


def test_a_signal_while_the_command_starts_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[bytes]] = []
    popen = subprocess.Popen

    def start(*args: object, **options: object) -> "subprocess.Popen[bytes]":
        started.append(popen(*args, **options))  # type: ignore[call-overload]
        signal.raise_signal(signal.SIGINT)
        return started[0]

    monkeypatch.setattr(subprocess, "Popen", start)
    with pytest.raises(KeyboardInterrupt), EndingSignals() as signals:
        run(["sleep", "600"], os.environ, KeptOutput(), signals)
    assert started[0].returncode is not None
