"""The output of pull, and the paths that it writes to."""

import json
import os
from pathlib import Path

import pytest

from opstore_daemon.protocol.records import Versions
from tests.cli.output.fakes import SKIPPED, Opstore, a_pull, a_resolution, a_version


def test_pull_of_an_op_outside_the_pipeline_is_a_usage_error(opstore: Opstore) -> None:
    said = "error: scaler is not an op of the pipeline churn\nhint: opstore pull --help\n"
    words = ("pull", "scaler", "--pipeline", "churn")
    assert opstore(*words, resolve=a_resolution("valid", a_version())) == (2, "", said)


def test_pull_prints_the_path(opstore: Opstore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert opstore("pull", "pca@1.0.0", start_pull=a_pull()) == (0, "pca-1.0.0\n", "")
    code, out, err = opstore("--json", "pull", "pca", "-o", "x", start_pull=a_pull())
    document = json.loads(out)
    assert (code, document["path"], document["version"], err) == (0, "x", "1.0.0", "")


def test_pull_names_the_newer_versions_that_it_skipped(opstore: Opstore, tmp_path: Path) -> None:
    found = Versions(op="pca", versions=(a_version(),), skipped=SKIPPED)
    path = str(tmp_path / "x")
    assert opstore("pull", "pca", "--valid-for", "forest", "-o", path, versions=found, start_pull=a_pull()) == (
        0,
        f"{path}\n",
        "skipped pca@1.1.0: not validated\n",
    )


def test_pull_overwrites_only_with_f(opstore: Opstore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("pca-1.0.0").touch()
    said = "error: pca-1.0.0 exists already\nhint: move it away, or choose another path\n"
    assert opstore("pull", "pca", start_pull=a_pull()) == (5, "", said)
    assert opstore("pull", "pca", "-o", "pca-1.0.0", start_pull=a_pull()) == (5, "", said)
    assert opstore("pull", "pca", "-f", start_pull=a_pull()) == (0, "pca-1.0.0\n", "")
    Path("models").mkdir()
    for into in ("models", "models/", "."):
        assert opstore("pull", "pca", "-f", "-o", into, start_pull=a_pull())[:2] == (0, f"{Path(into, 'pca-1.0.0')}\n")


def test_pull_writes_to_a_device_without_replacing_it(opstore: Opstore) -> None:
    words = ("pull", "pca", "-o", os.devnull)
    assert opstore(*words, start_pull=a_pull()) == (0, f"{os.devnull}\n", "")
    assert Path(os.devnull).is_char_device()


def test_pull_to_standard_output_prints_no_path(opstore: Opstore) -> None:
    assert opstore("pull", "pca", "-o", "-", start_pull=a_pull()) == (0, "", "")
