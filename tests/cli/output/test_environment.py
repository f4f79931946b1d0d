"""The output of `validate --env` and `--env-file`."""

import sys

import msgspec

from opstore_cli.client.environments import ENVIRONMENT
from opstore_daemon.protocol.records import EdgeVerdict, OpVersion
from tests.cli.output.fakes import Opstore, a_validation

PCA = OpVersion(op="pca", version="1.0.0")
ROW = EdgeVerdict(upstream=PCA, downstream=ENVIRONMENT, verdict="valid", basis="environment", reason="only a warning")
FOUND = msgspec.structs.replace(
    a_validation("valid"),
    edges=(*a_validation("valid").edges, ROW),
    uncompared=(OpVersion(op="forest", version="1.0.0"),),
)


def test_differences_are_rows_and_what_is_not_compared_is_noted(opstore: Opstore) -> None:
    row = "pca@1.0.0 -> forest\tvalid\tlink\tbecause\npca@1.0.0 -> environment\tvalid\tenvironment\tonly a warning\n"
    note = f"--env is about {sys.executable}; --env-file FILE compares what a deployment installs\n"
    note += "not compared, as they record no libraries: forest@1.0.0\nthe pipeline churn is valid\n"
    note += "forest has no version, so the pipeline can't be run\n"
    assert opstore("validate", "churn", "--env", validate_pipeline=FOUND) == (0, row, note)
    assert opstore("validate", "churn", "--env-file", "a.txt", validate_pipeline=FOUND)[2].startswith("not compared")
    assert opstore("validate", "churn", "--env-file", "a.txt", "-q", validate_pipeline=FOUND)[:2] == (0, "valid\n")


def test_markdown_marks_warnings_and_names_what_is_not_compared(opstore: Opstore) -> None:
    _, out, _ = opstore("validate", "churn", "--env", "--format", "markdown", validate_pipeline=FOUND)
    assert "| `pca@1.0.0` | `environment` | ⚠️ valid | environment | `only a warning` |\n" in out
    assert out.endswith("\nNot compared, as they record no libraries: `forest@1.0.0`\n")


def test_one_environment_is_compared(opstore: Opstore) -> None:
    code, out, err = opstore("validate", "churn", "--env", "--env-file", "a.txt")
    assert (code, out, err) == (
        2,
        "",
        "error: --env and --env-file are mutually exclusive\nhint: opstore validate --help\n",
    )
