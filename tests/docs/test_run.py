"""Every shell block of the documents runs, in order, against a real daemon."""

import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from _pytest.mark.structures import ParameterSet

from tests.support import operations, shell
from tests.support.markdown import DOCUMENTS, ROOT, blocks, name_of, read

if TYPE_CHECKING:
    from tests.support.object_store import Bucket

# What stands before a document's first command where the document itself does not make its files.
BEFORE = {
    "docs/bisect.md": f"cp '{ROOT}'/examples/bisect/*.py .",
    "docs/chariots.md": f"PYTHONPATH='{ROOT}' python -m tests.support.chariots_store old",
}
ANYTHING = "…"
SHOWN = [path for path in DOCUMENTS if blocks(read(path), "sh", "console")]
# They take seconds: they import scikit-learn, run a hundred commands or evaluate models. All of them are about what
# other tests run in small: tests/cli/sklearn, tests/cli/objects, tests/scenarios, tests/e2e/validity.
SLOW = {"docs/tutorial.md", "docs/rules.md", "docs/bisect.md", "sklearn.md", "objects.md", "notebook.md"}
# These take seconds, too, for what tests/docs/test_ci.py, tests/daemon, tests/e2e and tests/cli run in small.
SLOW |= {"docs/ci.md", "docs/maintenance.md", "docs/settings.md", "docs/find.md"}
SLOW |= {
    f"docs/{name}.md" for name in ("verify", "migrate", "folders", "copy", "remove", "http", "chariots", "recovery")
}


def _document(path: Path) -> ParameterSet:
    return pytest.param(path, id=name_of(path), marks=[pytest.mark.slow] if name_of(path) in SLOW else [])


def folded(text: str) -> str:
    """Return the text with each tab as two blanks, as documents separate columns."""
    return "\n".join(re.sub(r"\t| {2,}", "  ", line).rstrip() for line in text.strip().splitlines())


def pattern(wanted: str) -> str:
    return re.escape(folded(wanted)).replace(re.escape(ANYTHING), ".*?")


@pytest.mark.skipif(sys.platform == "win32", reason="on Windows there is no daemon")
@pytest.mark.parametrize("path", [_document(path) for path in SHOWN if name_of(path) != operations.DOCUMENT])
def test_every_shell_block_does_what_the_document_says(path: Path, tmp_path: Path) -> None:
    run_blocks(path, tmp_path, BEFORE.get(name_of(path), ""))


@pytest.mark.skipif(sys.platform == "win32", reason="on Windows there is no daemon")
@pytest.mark.slow
def test_three_daemons_and_a_balancer_do_what_the_document_says(
    tmp_path: Path, postgres_url: str, bucket: "Bucket"
) -> None:
    before = operations.before(postgres_url, bucket)
    run_blocks(ROOT / operations.DOCUMENT, tmp_path, before, operations.ports())


def run_blocks(path: Path, folder: Path, before: str, ports: Mapping[str, str] | None = None) -> None:
    """Run the blocks after the commands `before`, with each of the `ports` in place of the one in the document."""
    found = [block for block in blocks(read(path), "sh", "console") if block.runs]
    todo = [command for block in found for command in shell.commands(block)]
    if any("curl " in command.text for command in todo) and shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    for name, port in (ports or {}).items():
        todo = [replace(each, text=each.text.replace(name, port)) for each in todo]
        todo = [replace(each, wanted=each.wanted and each.wanted.replace(name, port)) for each in todo]
    wrote = shell.run(todo, folder, before)
    for command, output in zip(todo, wrote, strict=True):
        place = f"{name_of(path)}, the block at line {command.line}: {command.text}"
        if command.wanted is None:
            check_comments(command.text, output, place)
            continue
        text, code = output.split(f"{shell.MARK}exit ")
        assert int(code) == command.code, f"{place}\n{output}"
        assert re.fullmatch(pattern(command.wanted), folded(text), re.DOTALL), f"{place}\nwrote:\n{folded(text)}"


def check_comments(script: str, output: str, place: str) -> None:
    """Check that commands print the versions that comments on their lines name."""
    said = re.findall(r"^(?:opstore (?:push|register)) .*# ([a-z0-9._-]+@\d+\.\d+\.\d+)", script, re.MULTILINE)
    printed = [line for line in output.splitlines() if re.fullmatch(r"[a-z0-9._-]+@\d+\.\d+\.\d+", line)]
    assert printed == said, place


# On a busy machine waitress warns that a request waits for a thread.
QUIET_QUEUE = "import logging; logging.getLogger('waitress.queue').setLevel(logging.ERROR)"

# What the entry points of an installed opstore do. One block fails on purpose, which is logged.
REGISTERED = """
import fsspec, upath.registry
logging.getLogger("opstore_cli.fsspec").setLevel(logging.ERROR)
fsspec.register_implementation("opstore", "opstore_cli.fsspec.OpStoreFileSystem", clobber=True)
upath.registry.register_implementation("opstore", "opstore_cli.upath.OpStorePath", clobber=True)
"""
BEFORE_PYTHON = {"fsspec.md": REGISTERED}


ABOUT_PYTHON = [
    "python.md",
    "objects.md",
    "chariots.md",
    "fsspec.md",
    "notebook.md",
    "sklearn.md",
    "team-server.md",
    "verify.md",
]


# All in one process, because importing both programs takes longer than most documents. Each is its own `__main__`.
RUN = """
import os, sys, types
from pathlib import Path
sys.executable, folder = sys.argv[1], Path(sys.argv[2])
for name in sys.argv[3:]:
    home = folder / name / "home"
    os.environ.update(HOME=str(home), OPSTORE_HOME=str(home / "data"))
    os.chdir(folder / name / "work")
    sys.modules["__main__"] = types.ModuleType("__main__")
    exec(compile((folder / name / "program.py").read_text(), name, "exec"), sys.modules["__main__"].__dict__)
"""
FAST = [name for name in ABOUT_PYTHON if name not in SLOW]
ALONE = [pytest.param([name], id=name, marks=pytest.mark.slow) for name in ABOUT_PYTHON if name in SLOW]


@pytest.mark.slow
@pytest.mark.parametrize("names", [pytest.param(FAST, id="fast"), *ALONE])
def test_every_python_block_of_a_document_about_python_runs(names: list[str], tmp_path: Path) -> None:
    for name in names:
        found = blocks(read(ROOT / "docs" / name), "python")
        assert found, "it has examples"
        assert all(block.runs for block in found)
        for each in ("home", "work"):
            (tmp_path / name / each).mkdir(parents=True)
        program = "\n".join([QUIET_QUEUE, BEFORE_PYTHON.get(name, ""), *(block.text for block in found)])
        (tmp_path / name / "program.py").write_text(program)
    told = shell.environment(tmp_path / names[0] / "home")
    try:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", RUN, shell.python(told), tmp_path, *names],
            env=told,
            capture_output=True,
            text=True,
            timeout=shell.SECONDS,
            check=False,
        )
    finally:
        for name in names:
            home = tmp_path / name / "home"
            shell.opstore({**told, "HOME": str(home), "OPSTORE_HOME": str(home / "data")}, tmp_path, "stop")
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr


def test_a_block_that_does_not_run_says_why() -> None:
    for path in DOCUMENTS:
        for block in blocks(read(path), ""):
            assert not re.search(r"^(\$ )?(opstore|curl) ", block.text, re.MULTILINE), f"{name_of(path)}:{block.line}"
