"""Run the shell blocks of a document in order in one shell, and return the output of each command.

A `sh` block runs unchanged and ends at the first command that fails. A `console` block is a transcript: each line that
begins with `$ ` is a command (a backslash at its end continues the line), followed by its standard output, and by
`(exit code N)` unless that is 0.
"""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.support import forked
from tests.support.markdown import Block

MARK = "\x1e"  # in no document
SECONDS = 240
BASH = shutil.which("bash") or "bash"


@dataclass(frozen=True)
class Command:
    """A command of a transcript, or a whole `sh` block (`wanted` is None: it must succeed with any output)."""

    text: str
    line: int
    wanted: str | None = None
    code: int = 0


def environment(home: Path) -> dict[str, str]:
    """Return the environment of a user with no settings, whose data folder and home folder are in `home`.

    On Linux a fork server starts its `opstore`, because a document runs it a dozen times.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OPSTORE_", "XDG_"))}
    user = {**kept, "HOME": str(home), "OPSTORE_HOME": str(home / "data"), "LC_ALL": "C.UTF-8", "NO_COLOR": "1"}
    programs = [str(forked.BIN), os.environ["PATH"]]
    if forked.AVAILABLE:
        programs.insert(0, str(forked.fork_server(user).program.parent))
    return {**user, "PATH": os.pathsep.join(programs)}


def python(environment: dict[str, str]) -> str:
    """Return the path of the Python with which programs start local daemons in such an environment."""
    return str(forked.daemon_server(environment).program) if forked.AVAILABLE else sys.executable


def opstore(environment: dict[str, str], cwd: Path, *words: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
    """Run `opstore` in such an environment."""
    program = shutil.which("opstore", path=environment["PATH"])
    return subprocess.run(
        [program or "opstore", *words],
        cwd=cwd,
        env=environment,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def commands(block: Block) -> list[Command]:
    """Return the commands of the block."""
    if block.language == "sh":
        return [Command(block.text, block.line)]
    parts = re.split(r"^\$ ", block.text, flags=re.MULTILINE)
    assert parts[0] == "", f"line {block.line}: a transcript begins with a command"
    return [_command(part, block.line) for part in parts[1:]]


def _command(part: str, line: int) -> Command:
    lines = part.splitlines()
    end = next(number for number, text in enumerate(lines) if not text.endswith("\\")) + 1
    text, wrote = "\n".join(lines[:end]), lines[end:]
    code = re.fullmatch(r"\(exit code (\d+)\)", wrote[-1]) if wrote else None
    if code is not None:
        wrote.pop()
    return Command(text, line, "\n".join(wrote), int(code[1]) if code else 0)


def run(todo: list[Command], folder: Path, before: str = "") -> list[str]:
    """Run the commands in a new folder; return the standard output of each. Fail if one fails."""
    home, work = folder / "home", folder / "work"
    home.mkdir()
    work.mkdir()
    script = ["set -eu", before]
    for number, command in enumerate(todo):
        script.append(f"printf '{MARK}{number}\\n'")
        if command.wanted is None:
            script.append(command.text)
        else:
            script.append(f"code=0\n{{ {command.text}\n}} || code=$?\nprintf '{MARK}exit %s\\n' \"$code\"")
    environ = environment(home)
    try:
        done = subprocess.run(
            [BASH, "-c", "\n".join(script)],
            cwd=work,
            env=environ,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    finally:
        opstore(environ, work, "stop")
    found = re.split(rf"{MARK}\d+\n", done.stdout)[1:]
    assert done.returncode == 0, f"{todo[len(found) - 1].text}\nexited {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return found
