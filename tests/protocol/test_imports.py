"""What the light parts import: a command must start fast, and run where no server can."""

import json
import subprocess
import sys
from pathlib import Path

PROTOCOL = Path(__file__).parents[2] / "opstore_daemon" / "protocol"
SERVER = {"alembic", "flask", "jinja2", "sqlalchemy", "waitress", "werkzeug"}

IMPORT_AND_TELL = """
import importlib, json, sys
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
    modules = [f"opstore_daemon.protocol.{file.stem}" for file in PROTOCOL.glob("*.py") if file.stem != "__init__"]
    assert len(modules) > 8
    assert imported_by("opstore_daemon.protocol", *modules) - imported_by("msgspec") == {"opstore_daemon"}


def test_the_command_line_imports_nothing_of_the_server() -> None:
    imported = imported_by("opstore_cli")
    assert "opstore_cli" in imported
    assert not imported & SERVER


def test_the_rules_import_no_more_than_the_protocol_does() -> None:
    rules = [f"opstore_daemon.rules.{name}" for name in ("derivation", "numbering", "verdict")]
    assert imported_by(*rules) - imported_by("msgspec") == {"opstore_daemon"}
