"""What the light parts import: a command must start fast, and run where no server can."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
PROTOCOL = ROOT / "opstore_daemon" / "protocol"
SERVER = {"alembic", "flask", "jinja2", "sqlalchemy", "waitress", "werkzeug"}

IMPORT_AND_TELL = """
import importlib, json, sys

pytestmark = pytest.mark.process
before = set(sys.modules)
for name in sys.argv[1:]:
    importlib.import_module(name)
print(json.dumps(sorted({name.partition(".")[0] for name in set(sys.modules) - before})))
"""


def imported_by(*modules: str) -> set[str]:
    """The top-level names, beyond the standard library, that a fresh interpreter has imported after these."""
    told = subprocess.run([sys.executable, "-c", IMPORT_AND_TELL, *modules], capture_output=True, text=True, check=True)
    return set(json.loads(told.stdout)) - set(sys.stdlib_module_names)


def test_the_protocol_imports_nothing_but_the_standard_library_and_msgspec() -> None:
    modules = [".".join(file.relative_to(ROOT).with_suffix("").parts) for file in PROTOCOL.rglob("*.py")]
    assert len(modules) > 20
    assert imported_by(*modules) - imported_by("msgspec") == {"opstore_daemon"}


def test_the_command_line_imports_nothing_of_the_server() -> None:
    imported = imported_by("opstore_cli")
    assert "opstore_cli" in imported
    assert not imported & SERVER


def test_the_rules_import_no_more_than_the_protocol_does() -> None:
    rules = [f"opstore_daemon.rules.{name}" for name in ("derivation", "numbering", "verdict")]
    assert imported_by(*rules) - imported_by("msgspec") == {"opstore_daemon"}
