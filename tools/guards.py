"""Remove each guard of the program, in a copy of the project, and check that its test fails without it.

`python tools/guards.py` does so for all guards of guards.toml, `python tools/guards.py fsync token` for those that
mention one of the words; `python tools/guards.py --write` regenerates docs/guards.md. Exits 1 if a guard can be removed
and its tests still pass.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
import tomllib
import venv
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import click

ROOT = Path(__file__).resolve().parent.parent
LIST = ROOT / "tools" / "guards.toml"
DOCUMENT = ROOT / "docs" / "guards.md"

TEST_WITHIN = 20  # seconds for a test without its guard, which may wait for something that never comes
RUN_WITHIN = 900  # seconds for all tests of a run
FAILED = 1  # pytest's exit code if a test ran and failed; a broken import or no test has another one

INTRODUCTION = """\
# Guards

A guard is a piece of code whose removal would let a fault pass: a sync, a constraint, a comparison, a check. For
contributors, this page lists what goes wrong without each guard, its file, and the test that fails without it.
[promises.md](promises.md) lists what users may rely on.

`make guards` removes the guards one by one in a copy of the project, runs their tests, and exits with 1 if the tests
of any guard still pass. `python tools/guards.py fsync token` does this only for the guards that mention one of these
words. To add a guard, describe it in `tools/guards.toml`; `python tools/guards.py --write` generates this page.
"""


@dataclass(frozen=True, slots=True)
class Guard:
    """A piece of code that keeps something bad from happening, how to remove it, and the tests that notice."""

    area: str
    title: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    def taken_out(self, source: str) -> str:
        """Return the source without the guard; raises ValueError unless `old` occurs in it exactly once."""
        if source.count(self.old) != 1:
            raise ValueError(f"{self.file} has this {source.count(self.old)} times, not once: {self.old}")
        return source.replace(self.old, self.new)

    def has(self, word: str) -> bool:
        """Return whether the word occurs in any text about the guard."""
        return any(word.lower() in text.lower() for text in (self.area, self.title, self.file, *self.tests))


def every_guard() -> list[Guard]:
    """Return the guards of guards.toml, in their order."""
    areas = tomllib.loads(LIST.read_text("utf-8"))
    return [
        Guard(area, each["title"], each["file"], each["old"], each["new"], tuple(each["tests"]))
        for area, guards in areas.items()
        for each in guards
    ]


# --- the document ---------------------------------------------------------------------------------------------------


def document(guards: Iterable[Guard]) -> str:
    """Return the text of docs/guards.md."""
    parts = [INTRODUCTION]
    for area, those in groupby(guards, key=lambda guard: guard.area):
        rows = "".join(f"| {each.title} | `{each.file}` | {_spans(each.tests)} |\n" for each in those)
        parts.append(f"## {area}\n\n| without it | in | the test that fails |\n|---|---|---|\n{rows}")
    return "\n".join(parts)


def _spans(tests: Iterable[str]) -> str:
    # Without its parameters, which nobody could search for.
    return ", ".join(f"`{test.partition('[')[0]}`" for test in tests)


# --- the copy -------------------------------------------------------------------------------------------------------


class Copy:
    """A copy of the project, and a Python that imports opstore from it and everything else from ours.

    PYTHONPATH alone is not enough: many tests start programs with an environment of their own, where the editable
    install would import the project itself instead of the copy.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.project = folder, folder / "project"
        _copy_project(self.project)
        venv.create(folder / "venv", with_pip=False, symlinks=True)
        self.python = folder / "venv" / "bin" / "python"
        [packages] = (folder / "venv").glob("lib/python*/site-packages")
        # Python does not read the .pth files inside a folder that a .pth file names.
        ours = dict.fromkeys(sysconfig.get_path(kind) for kind in ("purelib", "platlib"))
        (packages / "copy.pth").write_text("\n".join([str(self.project), *ours]) + "\n")
        program = self.python.with_name("opstore")
        program.write_text(f"#!{self.python}\nfrom opstore_cli.main import run\n\nrun()\n")
        program.chmod(0o755)

    @contextmanager
    def without(self, guard: Guard) -> Iterator[None]:
        """Remove the guard while the context lasts."""
        path = self.project / guard.file
        source = path.read_text("utf-8")
        _replace(path, guard.taken_out(source))
        try:
            yield
        finally:
            _replace(path, source)

    def imports(self, file: str) -> bool:
        """Return whether the module can be imported, and from the copy, as in any program that a test starts."""
        module = file.removesuffix(".py").replace("/", ".")
        program = f"import importlib; print(importlib.import_module({module!r}).__file__)"
        command = [str(self.python), "-P", "-c", program]
        found = subprocess.run(command, cwd=self.folder, env={}, capture_output=True, text=True, check=False)
        return found.stdout.strip() == str(self.project / file)

    def run(self, tests: Iterable[str], *options: str) -> tuple[int, str]:
        """Run the tests; return pytest's exit code and its output."""
        ours = ["-p", "no:cacheprovider", f"--basetemp={self.folder / 'tests'}", "-q"]
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("OPSTORE_", "PYTHON"))}
        # Into a file, since a process that outlives its test would hold a pipe open.
        with (self.folder / "output").open("w+", encoding="utf-8", errors="replace") as output:
            try:
                code = subprocess.run(
                    [str(self.python), "-m", "pytest", *ours, *options, *dict.fromkeys(map(_id_of, tests))],
                    cwd=self.project,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    timeout=RUN_WITHIN,
                    check=False,
                ).returncode
            except subprocess.TimeoutExpired:
                code = -1
            output.seek(0)
            return code, output.read()


def _copy_project(to: Path) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],  # noqa: S607 - whichever git is there
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in listed.stdout.split("\0"):
        if name and (ROOT / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, to / name)


def _replace(path: Path, source: str) -> None:
    path.write_text(source, "utf-8")
    # Python compares time and size to see whether its compiled file is up to date; two changes can agree in both.
    Path(importlib.util.cache_from_source(str(path))).unlink(missing_ok=True)


def _id_of(test: str) -> str:
    """Return the test's id in pytest: test_scenarios.py runs a scenario, here over HTTP, on files."""
    place, _, name = test.partition("::")
    if place.startswith("tests/scenarios/") and not place.endswith("test_scenarios.py"):
        return f"tests/scenarios/test_scenarios.py::test_scenario[{name}-http]"
    return test


# --- the check ------------------------------------------------------------------------------------------------------


def is_missed(copy: Copy, guard: Guard) -> tuple[bool, str]:
    """Return whether a test fails without the guard, and the reason or what happened instead."""
    with copy.without(guard):
        if not copy.imports(guard.file):
            return False, "without it the module can't be imported, which proves nothing"
        code, said = copy.run(guard.tests, "--exitfirst", f"--timeout={TEST_WITHIN}")
    reasons = [line.removeprefix("E").strip() for line in said.splitlines() if line.startswith("E  ")]
    return code == FAILED, reasons[0] if reasons else f"pytest exited {code}"


def check(copy: Copy, guards: Sequence[Guard], *, verbose: bool) -> int:
    """Print a line for each guard; return how many are not missed."""
    survived = 0
    for guard in guards:
        began = time.monotonic()
        missed, how = is_missed(copy, guard)
        survived += not missed
        word, seconds = "yes" if missed else "NO", time.monotonic() - began
        click.echo(f"{word:5}{seconds:5.1f} s  {guard.title}  ({guard.file}; {', '.join(guard.tests)})")
        if verbose or not missed:
            click.echo(f"             {how}")
    return survived


@click.command()
@click.argument("words", nargs=-1)
@click.option("--write", is_flag=True, help="Regenerate docs/guards.md, and remove nothing.")
@click.option("-v", "--verbose", is_flag=True, help="Print how the test fails.")
def main(words: tuple[str, ...], write: bool, verbose: bool) -> None:
    """Remove the guards that mention one of the WORDS (without words: all), and check that their tests fail."""
    guards = every_guard()
    if write:
        DOCUMENT.write_text(document(guards), "utf-8")
        return
    guards = [guard for guard in guards if not words or any(map(guard.has, words))]
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="opstore-guards-", ignore_cleanup_errors=True) as folder:
        copy = Copy(Path(folder).resolve())
        code, said = copy.run([test for guard in guards for test in guard.tests])
        if code != 0:
            raise click.ClickException(f"the tests fail with all guards in place:\n{said}")
        click.echo("fails without it, seconds, guard (file; tests)")
        survived = check(copy, guards, verbose=verbose)
    click.echo(f"{len(guards)} guards, {survived} of them not missed, {time.monotonic() - began:.0f} s")
    sys.exit(1 if survived else 0)


if __name__ == "__main__":
    main()
