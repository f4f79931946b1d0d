"""`opstore import mlflow` from a real registry, which MLflow's own client reads."""

import hashlib
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.machines import STARTED, Machine
from tests.support.markdown import ROOT

SETTINGS = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
ILLEGAL = "it's 50% @home"


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a registry. Tests share it and may only read."""
    folder = tmp_path_factory.mktemp("registry")
    program: list[str | Path] = [sys.executable, ROOT / "tests" / "support" / "mlflow_registry.py", folder]
    env = {**os.environ, **SETTINGS}
    subprocess.run(program, env=env, cwd=folder, check=True, capture_output=True, timeout=300)
    return folder


def uri(registry: Path) -> str:
    return f"sqlite:///{registry / 'mlflow.db'}"


def digest(registry: Path) -> str:
    return hashlib.sha256((registry / "mlflow.db").read_bytes()).hexdigest()


@pytest.mark.slow  # MLflow takes seconds; tests/cli/importers has a registry that stands in for it
def test_the_models_of_a_registry_become_ops(machine: Machine, registry: Path) -> None:
    before = digest(registry)
    code, out, err = machine.run("import", "mlflow", "--uri", uri(registry))
    source = re.findall(rf"from ({re.escape(str(registry))}\S+): ", err)[0]
    skipped = (
        f"warning: skipped model {ILLEGAL}: this is not a valid name of an op, and there is no obvious one: "
        "--rename 'it'\"'\"'s 50% @home=NAME'\n",
        f"warning: skipped files Churn Model version 3: its files can't be downloaded from {source}: "
        "No such artifact: 'model'; the version was imported without them\n",
    )
    error = (
        "error: the import is incomplete: 2 skipped, everything else was imported\n"
        "hint: repair them and run the command again: nothing is imported twice\n"
    )
    new = "new: 3 versions, 1 tag; unchanged: 0 versions\n"
    assert err == skipped[0] + STARTED + skipped[1] + new + error
    assert (code, out) == (2, "churn_model@1.0.0\nchurn_model@1.0.1\nchurn_model@1.0.2\n")
    with machine.client() as client:
        first = client.show("churn_model@champion")
        assert {key: first.labels[key] for key in ("team", "metric.auc", "mlflow_version")} == {
            "team": "fraud",
            "metric.auc": "0.91",
            "mlflow_version": "1",
        }
        assert (first.message, client.op("churn_model").description) == ("round 1", "who leaves")
        assert client.op("churn_model").latest == "1.0.1", "the third one has no files"
    machine.do("pull", "churn_model@champion", "-o", "model")
    assert (machine.cwd / "model" / "data" / "weights.bin").read_bytes() == b"the weights of round 1"
    assert (machine.listing(), digest(registry)) == (["model"], before), "the registry is only read"


@pytest.mark.slow
def test_a_registry_in_the_environment_is_imported_once(machine: Machine, registry: Path) -> None:
    environment = {"MLFLOW_TRACKING_URI": uri(registry)}
    code, document, failure = machine.ask("import", "mlflow", env=environment)
    assert (code, len(document["created"]), failure["details"]) == (2, 3, {"count": 2})
    assert document["tags"] == [{"op": "churn_model", "tag": "champion", "version": "1.0.0"}]
    code, document, failure = machine.ask("import", "mlflow", env=environment)
    assert (code, document.pop("skipped")[0]["what"], failure["details"]) == (2, "model", {"count": 2})
    assert document == {"created": [], "unchanged": 3, "tags": []}


@pytest.mark.slow
def test_a_model_with_an_illegal_name_is_imported_under_another_one(machine: Machine, registry: Path) -> None:
    options = ["--uri", uri(registry), "--model", ILLEGAL, "--rename", f"{ILLEGAL}=home"]
    assert machine.run("import", "mlflow", *options) == (
        0,
        "home@1.0.0\n",
        STARTED + "new: 1 version, 0 tags; unchanged: 0 versions\n",
    )


@pytest.mark.slow
@pytest.mark.parametrize("database", ["missing", "empty", "older", "text"])
def test_a_database_that_is_no_registry_stays_as_it_is(machine: Machine, registry: Path, database: str) -> None:
    path = machine.cwd / "mlflow.db"
    if database == "older":
        shutil.copy(registry / "mlflow.db", path)
        with sqlite3.connect(path) as connection:
            connection.executescript("DROP TABLE registered_model_aliases; DELETE FROM alembic_version")
    elif database != "missing":
        path.write_text("no database " * 1000 if database == "text" else "")
    before = path.read_bytes() if path.exists() else None
    code, out, err = machine.run("import", "mlflow", "--uri", "sqlite:///mlflow.db")
    assert (code, out) == (2, "")
    reason = {"missing": "file mlflow.db does not exist", "text": "file is not a database"}
    assert reason.get(database, "the database does not have the tables of MLflow") in err
    assert (path.read_bytes() if path.exists() else None) == before
    assert not machine.home.exists(), "nothing was asked of a daemon"


@pytest.mark.slow
@pytest.mark.parametrize("address", ["", "nowhere", "http://ann:secret@127.0.0.1:9"])
def test_an_address_without_a_registry_is_an_error(machine: Machine, address: str) -> None:
    env = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    code, out, err = machine.run("import", "mlflow", "--uri", address, env=env)
    assert (code, out) == (2, "")
    assert "the MLflow registry can't be read: " in err
    assert "secret" not in err
    assert machine.listing() == []
