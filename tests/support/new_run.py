"""A run as a client records it."""

from typing import Any

from opstore_daemon.protocol.digests import digest_of
from opstore_daemon.protocol.records import NewRun
from opstore_daemon.protocol.references import Reference

COMMAND = ("python", "eval.py", "--data", "a file")
SCRIPT = digest_of(b"print('eval')")


def new_run(*versions: str, edges: Any = (("pca", "forest"),), **other: Any) -> NewRun:
    """Return a run on these versions that passed, unless other fields are given."""
    output = other.pop("output", "accuracy 0.93\n")
    result = other.get("result", "passed")
    fields = {
        "command": COMMAND,
        "script": SCRIPT,
        "script_path": "eval.py",
        "result": result,
        "reason": {"passed": "exit code 0", "failed": "exit code 1", "unknown": "exit code 125"}[result],
        "exit_code": {"passed": 0, "failed": 1, "unknown": 125}[result],
        "duration": 3.21,
        "output_digest": digest_of(output.encode()),
        "output_size": len(output.encode()),
        **other,
    }
    return NewRun(edges=edges, versions=tuple(map(Reference.parse, versions)), output=output, **fields)
