"""The completion scripts: they are those of click, and shells can read them."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from opstore_cli.main import COMMANDS, cli
from tests.docs import shell
from tests.docs.markdown import ROOT
from tools.generate import SHELLS

FOLDER = ROOT / "completions"


def complete(script: Path, line: str, folder: Path) -> tuple[list[str], str]:
    """What bash offers behind the line (its last word is the one to complete), and what it said on stderr."""
    words = line.split(" ")
    program = "\n".join(
        [
            f'source "{script}"',
            f"COMP_WORDS=({' '.join(repr(word) for word in words)})",
            f"COMP_CWORD={len(words) - 1}",
            f'_opstore_completion opstore "{words[-1]}" "{words[-2]}"',
            'printf "%s\\n" "${COMPREPLY[@]}"',
        ]
    )
    told = shell.environment(folder)
    done = subprocess.run(
        [shell.BASH, "--norc", "-c", program], env=told, capture_output=True, text=True, timeout=60, check=False
    )
    return done.stdout.split(), done.stderr


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("opstore pu", ["push", "pull"]),
        ("opstore pipeline l", ["list"]),
        ("opstore push --b", ["--bump"]),
        ("opstore push pca pca.bin --bump m", ["major", "minor"]),
        ("opstore nothing-like-it", []),
    ],
)
def test_bash_completes_commands_and_options(line: str, offered: list[str], tmp_path: Path) -> None:
    assert complete(FOLDER / "opstore.bash", line, tmp_path) == (offered, "")


@pytest.mark.parametrize("name", SHELLS)
def test_a_shell_can_read_its_script(name: str) -> None:
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")
    check = subprocess.run(
        [name, "-n", str(FOLDER / f"opstore.{name}")], env={**os.environ}, capture_output=True, text=True, check=False
    )
    assert (check.returncode, check.stderr) == (0, "")


def test_there_is_a_script_for_each_shell_and_no_other_file() -> None:
    assert sorted(path.name for path in FOLDER.iterdir()) == sorted(f"opstore.{name}" for name in SHELLS)


def test_click_offers_every_command() -> None:
    made = SHELLS["bash"](cli, {}, "opstore", "_OPSTORE_COMPLETE")
    assert {item.value for item in made.get_completions([], "")} == set(COMMANDS)
