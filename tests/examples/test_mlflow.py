"""The example imports a real MLflow registry. MLflow has an environment of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.environments import environment_with
from tests.support.markdown import ROOT

MLFLOW = "mlflow-skinny==3.17.2"
SCRIPT = ROOT / "examples" / "mlflow" / "move.py"


@pytest.fixture(scope="module")
def python() -> Path:
    """Return a Python that has MLflow and this opstore."""
    return environment_with("mlflow", MLFLOW, "sqlalchemy", "alembic")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="on Windows there is no daemon")
def test_every_version_of_a_registry_is_imported_once(python: Path, tmp_path: Path) -> None:
    env = {
        "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "LC_ALL": "C.UTF-8",
        "OPSTORE_HOME": str(tmp_path / "data"),
        "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path / 'mlflow.db'}",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }

    def run(*words: str | Path) -> str:
        done = subprocess.run(words, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    try:
        run(python, ROOT / "tests" / "examples" / "mlflow_registry.py", tmp_path / "models")
        moved = "Churn Model version 1: churn_model@1.0.0\nChurn Model version 2: churn_model@1.0.1\n"
        assert run(python, SCRIPT) == moved
        assert run(python, SCRIPT) == moved.replace("\n", " (was there)\n")
        assert "mlflow_version=2" in run("opstore", "show", "churn_model")
        run("opstore", "pull", "churn_model@champion", "-o", "out")
        assert (tmp_path / "out" / "weights.bin").read_bytes() == b"the weights of round 1"
    finally:
        run("opstore", "stop")
