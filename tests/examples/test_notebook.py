"""The notebook runs in a real Jupyter kernel, from its first cell to its last."""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from opstore_cli import OpStoreClient
from tests.support.environments import environment_with
from tests.support.machines import Machine, a_machine
from tests.support.markdown import ROOT

NOTEBOOK = ROOT / "examples" / "notebook" / "iris.ipynb"
RAISES = "raises-exception"  # the tag of a cell that ends with an error


def code_of(path: Path) -> list[dict[str, Any]]:
    return [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]


def test_the_notebook_is_kept_without_outputs_and_calls_verbs_that_there_are() -> None:
    cells = code_of(NOTEBOOK)
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells)
    called = set(re.findall(r"client\.(\w+)\(", "\n".join("".join(cell["source"]) for cell in cells)))
    assert called <= set(dir(OpStoreClient))
    assert {"save", "load", "path", "links", "validate", "resolve", "diff", "log"} <= called


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
    words = ("-m", "nbconvert", "--to", "notebook", "--execute", "--output-dir", tmp_path, "--output", "executed")
    code, _, err = machine.run(*words, NOTEBOOK, program=[str(jupyter)])
    assert code == 0, err
    shown: dict[str, Any] = {}
    for cell in code_of(tmp_path / "executed.ipynb"):
        source = "".join(cell["source"]).splitlines()[-1]
        failures = [output for output in cell["outputs"] if output["output_type"] == "error"]
        assert bool(failures) == (RAISES in cell["metadata"].get("tags", [])), failures
        assert not any(output.get("name") == "stderr" for output in cell["outputs"])
        shown[source] = text_of(cell["outputs"])
    assert "<table>" in shown["saved_pca"]
    assert "valid" in shown["client.links()"]
    assert "these two belong together" in shown['    print("these two belong together")']
    assert "iris, invalid, 0 of 1 edge valid" in shown['client.validate_pipeline("iris")']
    assert "iris, valid, pca@1.0.0 forest@1.0.0, 1 skipped" in shown["found"]
    assert "pass allow_pickle=True" in shown['client.load("forest")']
    assert "did you mean forest?" in shown['client.show("forrest")']
    assert re.search(r"first call: \d+ bytes transferred\nsecond call: 0 bytes", shown["path.stat().st_size"])


def text_of(outputs: list[dict[str, Any]]) -> str:
    """Return all that a cell shows."""
    parts: list[str] = []
    for output in outputs:
        parts += [*output.get("text", []), *output.get("traceback", [])]
        parts += ["".join(data) for data in output.get("data", {}).values()]
    return "".join(parts)
