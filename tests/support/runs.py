"""Runs for tests: records of them."""

from datetime import UTC, datetime
from typing import Any

from opstore_daemon.protocol.records import OpVersion, RunRecord

WHEN = datetime(2024, 5, 6, 12, 30, 15, tzinfo=UTC)
VERSIONS = (OpVersion(op="pca", version="1.0.0"), OpVersion(op="forest", version="2.0.0"))


def a_run(**changes: Any) -> RunRecord:
    """Return the record of run 45, which passed, with these fields changed."""
    fields: dict[str, Any] = {
        "position": 45,
        "registered_at": WHEN,
        "author": "Ana <ana@example.org>",
        "pipeline": "churn",
        "set": f"sha256:{'a' * 64}",
        "versions": VERSIONS,
        "command": ("pytest", "-q"),
        "script": None,
        "script_path": None,
        "result": "passed",
        "reason": "exit code 0",
        "exit_code": 0,
        "duration": 3.25,
        "repeat": 1,
        "output_digest": f"sha256:{'b' * 64}",
        "output_size": 7,
        "commit": None,
        "ci_url": None,
    }
    return RunRecord(**(fields | changes))
