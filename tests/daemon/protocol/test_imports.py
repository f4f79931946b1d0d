"""The imports of the protocol, the command line and the rules: a command starts fast, and needs no server packages."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.process

ROOT = Path(__file__).parents[3]
PROTOCOL = ROOT / "opstore_daemon" / "protocol"
SERVER = {"alembic", "flask", "jinja2", "sqlalchemy", "waitress", "werkzeug"}

PRINT_IMPORTS = """
import importlib, json, sys

before = set(sys.modules)
for name in sys.argv[1:]:
    importlib.import_module(name)
print(json.dumps(sorted({name.partition(".")[0] for name in set(sys.modules) - before})))
"""


def imported_by(*modules: str) -> set[str]:
    """Return the top-level packages outside the standard library that importing these modules imports."""
    done = subprocess.run([sys.executable, "-c", PRINT_IMPORTS, *modules], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout)) - set(sys.stdlib_module_names)


def test_the_protocol_imports_only_the_standard_library_and_msgspec() -> None:
    modules = [".".join(file.relative_to(ROOT).with_suffix("").parts) for file in PROTOCOL.rglob("*.py")]
    assert len(modules) > 20
    assert imported_by(*modules) - imported_by("msgspec") == {"opstore_daemon"}


def test_the_command_line_imports_no_server_package() -> None:
    imported = imported_by("opstore_cli")
    assert "opstore_cli" in imported
    assert not imported & SERVER


def test_the_rules_import_only_the_standard_library_and_msgspec() -> None:
    rules = [f"opstore_daemon.rules.{name}" for name in ("derivation", "numbering", "verdict")]
    assert imported_by(*rules) - imported_by("msgspec") == {"opstore_daemon"}
