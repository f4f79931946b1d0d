"""Requests that schemathesis generates from the OpenAPI document break neither a real daemon nor the document."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from opstore_daemon.protocol import routes
from tests.support.conformance import conformance
from tests.support.examples import scaled
from tests.support.http_client import Http
from tests.support.servers import ADMIN_TOKEN

HERE = Path(__file__).parent
EXAMPLES = 20  # for each operation
TOLD = {"OPSTORE_TOKEN": ADMIN_TOKEN, "SCHEMATHESIS_HOOKS": str(HERE / "schemathesis_hooks.py")}


METHODS = {"POST", "PUT", "PATCH", "DELETE", "GET", "HEAD"}


def schemathesis(url: str, phases: str, methods: set[str], folder: Path) -> tuple[dict[str, Any], str]:
    """Run phases of schemathesis on the operations with these methods; return its report and its output."""
    program = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(HERE / "schemathesis.toml")]
    report = folder / "report.json"
    options = [
        "--phases",
        phases,
        "--no-color",
        "--max-examples",
        str(scaled(EXAMPLES)),
        "--report",
        "json",
        "--report-json-path",
        str(report),
        *(f"--include-method={method}" for method in sorted(methods)),
    ]
    command = [*program, "run", url, *options]
    done = subprocess.run(command, env={**os.environ, **TOLD}, cwd=folder, capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    assert report.exists(), said
    told: dict[str, Any] = json.loads(report.read_text("utf-8"))
    return told, said


@pytest.fixture
def filled(http: Http) -> Http:
    """Return a client of a daemon that has what the configuration names."""
    http.push("pca", b"a" * 100)
    http.push("pca", b"b" * 100)
    http.push("forest", b"c")
    http.post(routes.LINKS, {"upstream": "pca@1.0.0", "downstream": "forest"})
    http.post(routes.PIPELINES, {"name": "iris", "ops": ["pca", "forest"]})
    return http


@pytest.mark.fuzz
@pytest.mark.parametrize(
    ("phases", "methods"),
    [
        pytest.param("coverage", {"PUT", "PATCH"}, id="coverage of what changes", marks=pytest.mark.slow),
        pytest.param("coverage,fuzzing,stateful", METHODS, id="all", marks=pytest.mark.slow),
    ],
)
def test_schemathesis_finds_nothing(filled: Http, phases: str, methods: set[str], tmp_path: Path) -> None:
    report, said = schemathesis(filled.url + routes.DOCUMENT, phases, methods, tmp_path)
    assert (report["exit_code"], report["failures"], report["errors"]) == (0, [], []), said
    assert report["complete"], said
    assert report["test_cases"]["generated"] >= scaled(90), said
    paths = conformance().document["paths"]
    operations = sum(method.upper() in methods for item in paths.values() for method in item)
    assert report["operations"]["tested"] >= operations - 2, said  # all except the document itself and the stop
