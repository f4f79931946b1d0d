"""The example that trains, saves, links, validates and loads real models: run twice, and by two processes at once."""

import re
import runpy
import sys
from pathlib import Path

import pytest

from tests.support.machines import Machine
from tests.support.waiting import WITHIN

EXAMPLE = Path(__file__).parents[3] / "examples" / "notebook" / "train_and_load.py"
PYTHON = [sys.executable, "-P"]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="on Windows there is no daemon")


def test_the_example_is_about_30_lines() -> None:
    lines = [line for line in EXAMPLE.read_text().splitlines() if line.strip() and not line.startswith("#")]
    assert len(lines) <= 30


@pytest.mark.slow
def test_the_example_runs_and_a_second_run_creates_nothing(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = "pca@1.0.0 random_forest@1.0.0 valid\n"
    machine.do("start")
    # In this process, which has scikit-learn already; `test_two_processes_at_once` runs it as a program.
    monkeypatch.chdir(machine.cwd)
    for name, value in machine.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "argv", [str(EXAMPLE)])
    for _ in range(2):
        runpy.run_path(str(EXAMPLE), run_name="__main__")
        assert capsys.readouterr() == (said, "")
    assert machine.run("validate", "iris")[0] == 0
    sys.argv.append("7")
    runpy.run_path(str(EXAMPLE), run_name="__main__")
    assert capsys.readouterr() == ("pca@2.0.0 random_forest@2.0.0 valid\n", "")
    shown = machine.do("show", "pca@1.0.0").splitlines()
    assert "format\tskops" in shown
    assert {line.split()[1] for line in shown if line.startswith("library\t")} == {
        "numpy",
        "python",
        "scikit-learn",
        "skops",
    }


@pytest.mark.slow
def test_two_processes_at_once_get_versions_of_their_own_and_the_right_verdicts(machine: Machine) -> None:
    processes = [machine.begin(EXAMPLE, str(seed), program=PYTHON) for seed in (1, 2)]
    pairs = []
    for process in processes:
        out, err = process.communicate(timeout=WITHIN * 2)
        assert process.returncode == 0, err.decode()
        found = re.fullmatch(r"(pca@\d\.0\.0) (random_forest@\d\.0\.0) valid\n", out.decode())
        assert found
        pairs.append((found[1], found[2]))
    assert machine.starts() == 1, "there is one daemon"
    for op in ("pca", "random_forest"):
        _, listed, _ = machine.ask("versions", op)
        assert [(each["version"], each["sequence"]) for each in listed["versions"]] == [("2.0.0", 2), ("1.0.0", 1)]
    (one_pca, one_forest), (other_pca, other_forest) = pairs
    assert {one_pca, other_pca} == {"pca@1.0.0", "pca@2.0.0"}
    assert {one_forest, other_forest} == {"random_forest@1.0.0", "random_forest@2.0.0"}
    for pca, forest, code in [
        (one_pca, one_forest, 0),
        (other_pca, other_forest, 0),
        (one_pca, other_forest, 1),
        (other_pca, one_forest, 1),
    ]:
        assert machine.run("validate", pca, forest)[0] == code, (pca, forest)
