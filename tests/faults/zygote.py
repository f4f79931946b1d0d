"""A process that has imported everything, and forks a child for each run of an operation.

`python -P -m tests.faults.zygote` reads a line for each run from standard input: a JSON list of the name of an
operation, its folder and, for faults without strace, a call, its number and the fault, or an empty list to record the
calls (`patches`). The child prepares, writes `ready PID`, waits for a byte, runs the operation, and writes its
outcome: `refused [code, exit code, text]`, or `done RESULT` and then `state STATE`. After a refusal it checks the
store, repeats the operation, and writes the outcome of that, too. It ends without closing anything, and the process
writes `ended CODE`.
"""

import json
import os
import signal
import tempfile
from pathlib import Path

from opstore_daemon.protocol import errors
from tests.faults import operations
from tests.faults.patches import Patches


def say(word: str, value: object) -> None:
    """Write a line past the buffers of a process that may be killed."""
    os.write(1, f"{word} {json.dumps(value)}\n".encode())


def attempt(work: operations.Run, state: operations.Run, patches: Patches | None = None) -> bool:
    """Run the operation and write its outcome, and the state of the store if it was done; return whether it was."""
    try:
        result = work()
        word = "done"
    except errors.OpStoreError as error:
        word, result = "refused", [error.code, error.exit_code, error.text]
    if patches is not None:
        say("points", patches.calls)
    say(word, result)
    if word == "refused":
        return False
    say("state", state())
    return True


def run(name: str, root: Path, patches: Patches | None) -> None:
    """Run an operation in a folder, and once more if it is refused."""
    if patches is not None:
        patches.install()
    with operations.prepared(name, root) as runs:
        say("ready", os.getpid())
        os.read(0, 1)
        if patches is not None:
            patches.begin()
        if not attempt(*runs, patches):
            operations.OPERATIONS[name].check(root)
            attempt(*runs)
        os._exit(0)  # as a crash after the answer: nothing is closed


def warm_up(name: str) -> None:
    """Have everything imported that the operation needs: a child would read it from files."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "run"
        operations.make(name, root)
        with operations.prepared(name, root) as (work, state):
            work()
            state()


def main() -> None:
    """Serve until standard input ends."""
    warmed = set()
    while line := _line():
        name, folder, given = json.loads(line)
        if name not in warmed:
            warm_up(name)
            warmed.add(name)
        pid = os.fork()
        if pid == 0:
            try:
                fault = None if not given else (str(given[0]), int(given[1]), str(given[2]))
                run(name, Path(folder), None if given is None else Patches(fault))
            except BaseException as failure:  # noqa: BLE001 - the test shows it
                say("failed", f"{type(failure).__name__}: {failure}")
            os._exit(1)
        _, status = os.waitpid(pid, 0)
        say("ended", os.waitstatus_to_exitcode(status))


def _line() -> bytes:
    """Read a line and nothing after it, which is for the child."""
    line = b""
    while byte := os.read(0, 1):
        line += byte
        if byte == b"\n":
            break
    return line


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    main()
