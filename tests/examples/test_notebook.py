"""The notebook runs in a real Jupyter kernel, from its first cell to its last."""

import ast
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from opstore_cli import OpStoreClient, OpStoreError
from opstore_daemon.testing import serving
from tests.support.environments import environment_with
from tests.support.machines import Machine, a_machine
from tests.support.markdown import ROOT

NOTEBOOK = ROOT / "examples" / "notebook" / "iris.ipynb"
PIPELINE = ROOT / "examples" / "notebook" / "sklearn.ipynb"
RAISES = "raises-exception"  # the tag of a cell that ends with an error


def code_of(path: Path) -> list[dict[str, Any]]:
    return [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]


@pytest.mark.parametrize(
    ("notebook", "wanted"),
    [
        (NOTEBOOK, {"save", "load", "path", "links", "validate", "resolve", "diff", "log"}),
        (PIPELINE, {"save", "verify"}),
    ],
    ids=["iris", "sklearn"],
)
def test_a_notebook_is_kept_without_outputs_and_calls_verbs_that_there_are(notebook: Path, wanted: set[str]) -> None:
    cells = code_of(notebook)
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells)
    called = set(re.findall(r"client\.(\w+)\(", "\n".join("".join(cell["source"]) for cell in cells)))
    assert called <= set(dir(OpStoreClient))
    assert wanted <= called


@pytest.mark.slow
def test_a_retrained_step_is_refused_verified_and_accepted_in_15_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = [("".join(cell["source"]), RAISES in cell["metadata"].get("tags", [])) for cell in code_of(PIPELINE)]
    assert len([line for source, _ in cells for line in source.splitlines() if line]) == 15
    monkeypatch.chdir(tmp_path)
    with serving() as daemon:
        for name, value in daemon.environ.items():
            monkeypatch.setenv(name, value)
        names: dict[str, Any] = {}
        shown: list[Any] = [(refused if raises else last_value)(source, names) for source, raises in cells]
        names["client"].close()
    assert repr(shown[1]).startswith("<SavedPipeline iris, 3 new of 3 versions, iris.structure@1.0.0 iris.pca@1.0.0 ")
    assert str(shown[2]) == "iris.pca@1.0.1"
    assert "iris.pca@1.0.1 -> iris.classify@1.0.0: iris.pca 1.0.1 is not validated for" in str(shown[3])
    assert bool(shown[4]), "the run made every edge valid"
    assert shown[5] > 0.9


def last_value(source: str, names: dict[str, Any]) -> Any:
    """Run a cell, and return the value of its last expression."""
    *before, last = ast.parse(source).body
    value = last.value if isinstance(last, ast.Expr) else ast.Constant(None)
    first = before if isinstance(last, ast.Expr) else [*before, last]
    exec(compile(ast.Module(first, []), "cell", "exec"), names)  # noqa: S102 - it is ours
    return eval(compile(ast.fix_missing_locations(ast.Expression(value)), "cell", "eval"), names)  # noqa: S307


def refused(source: str, names: dict[str, Any]) -> OpStoreError:
    with pytest.raises(OpStoreError) as caught:
        last_value(source, names)
    return caught.value


@pytest.fixture(scope="module")
def jupyter() -> Path:
    """Return a Python that has nbconvert, a kernel, and what the notebook imports."""
    return environment_with(
        "notebook", "nbconvert>=7", "ipykernel>=6.29", "pandas", "scikit-learn", "skops", "joblib", "numpy"
    )


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """Return a machine without a running daemon."""
    with a_machine(tmp_path / "machine") as made:
        yield made


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="on Windows there is no daemon")
def test_every_cell_runs_and_shows_what_the_text_says(jupyter: Path, machine: Machine, tmp_path: Path) -> None:
    shown = executed(NOTEBOOK, jupyter, machine, tmp_path)
    assert "<table>" in shown["saved_pca"]
    assert "valid" in shown["client.links()"]
    assert "these two belong together" in shown['    print("these two belong together")']
    assert "iris, invalid, 0 of 1 edge valid" in shown['client.validate_pipeline("iris")']
    assert "iris, valid, pca@1.0.0 forest@1.0.0, 1 skipped" in shown["found"]
    assert "pass allow_pickle=True" in shown['client.load("forest")']
    assert "did you mean forest?" in shown['client.show("forrest")']
    assert re.search(r"first call: \d+ bytes transferred\nsecond call: 0 bytes", shown["path.stat().st_size"])


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="on Windows there is no daemon")
def test_the_notebook_of_a_pipeline_runs_and_shows_records(jupyter: Path, machine: Machine, tmp_path: Path) -> None:
    shown = executed(PIPELINE, jupyter, machine, tmp_path)
    assert "<table>" in shown['save_pipeline(client, "iris", fitted)']
    assert "the latest versions of iris are not valid together" in shown['load_pipeline(client, "iris", latest=True)']
    assert float(shown["accepted.score(features, classes)"]) > 0.9


def executed(notebook: Path, jupyter: Path, machine: Machine, folder: Path) -> dict[str, str]:
    """Run a notebook, and return what each cell shows, by its last line."""
    words = ("-m", "nbconvert", "--to", "notebook", "--execute", "--output-dir", folder, "--output", "executed")
    code, _, err = machine.run(*words, notebook, program=[str(jupyter)])
    assert code == 0, err
    shown: dict[str, str] = {}
    for cell in code_of(folder / "executed.ipynb"):
        source = "".join(cell["source"]).splitlines()[-1]
        failures = [output for output in cell["outputs"] if output["output_type"] == "error"]
        assert bool(failures) == (RAISES in cell["metadata"].get("tags", [])), failures
        said = [line for output in cell["outputs"] if output.get("name") == "stderr" for line in output["text"]]
        assert all(line.startswith("pulled ") or not line.strip() for line in said), said
        shown[source] = text_of(cell["outputs"])
    return shown


def text_of(outputs: list[dict[str, Any]]) -> str:
    """Return all that a cell shows."""
    parts: list[str] = []
    for output in outputs:
        parts += [*output.get("text", []), *output.get("traceback", [])]
        parts += ["".join(data) for data in output.get("data", {}).values()]
    return "".join(parts)
