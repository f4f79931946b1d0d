"""A runtime file that another program may have written."""

import json
from pathlib import Path
from typing import Any

import pytest

from opstore_cli.local import daemon

GOOD: dict[str, Any] = {"url": "http://127.0.0.1:7001", "pid": 100, "port": 7001, "version": "1"}


@pytest.mark.parametrize(
    "bad", [{"pid": 1}, {"pid": 0}, {"pid": -100}, {"port": 7002}, {"url": "http://127.0.0.1"}, {"url": "http://host"}]
)
def test_an_inconsistent_runtime_file_is_ignored(tmp_path: Path, bad: dict[str, Any]) -> None:
    path = tmp_path / "daemon.json"
    path.write_text(json.dumps(GOOD))
    assert daemon.read_runtime_file(tmp_path) is not None
    path.write_text(json.dumps(GOOD | bad))
    assert daemon.read_runtime_file(tmp_path) is None
