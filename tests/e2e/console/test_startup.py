"""A command imports only the modules that it uses, because every start pays for them (benchmarks/startup.py)."""

import subprocess
import sys

import pytest

from tests.support.machines import PROGRAM, Machine

pytestmark = pytest.mark.process

# Modules for some commands only: drawing, transfers, starting a daemon, pickling a client, settings and locks.
HEAVY = {
    "opstore_cli.transfer.download",
    "opstore_cli.folders.packing",
    "opstore_cli.client.token_handover",
    "opstore_cli.local.launcher",
    "opstore_cli.lockfile",
    "opstore_cli.objects.formats",
    "opstore_cli.transfer.upload",
    "packaging",
    "rich",
    "tomllib",
}
FOR_A_REQUEST = {
    "msgspec",
    "opstore_cli.client.client",
    "opstore_cli.config.settings",
    "platformdirs",
    "requests",
}
PARSING = {"opstore_daemon.protocol.names", "opstore_daemon.protocol.references"}  # for commands with arguments
COMPLETING = {"_OPSTORE_COMPLETE": "bash_complete", "COMP_WORDS": "opstore ver", "COMP_CWORD": "1"}


def imported_modules(machine: Machine, *words: str, env: dict[str, str] | None = None) -> set[str]:
    """Return the modules that the program has imported when it exits."""
    program = [sys.executable, "-X", "importtime", *PROGRAM]
    code, _, err = machine.raw(*words, program=program, env=env)
    assert code == 0, err
    imported = [
        line.rpartition("|")[2].strip() for line in err.decode().splitlines() if line.startswith("import time:")
    ]
    assert "opstore_cli.main" in imported
    return set(imported)


@pytest.mark.parametrize(
    ("words", "env"),
    [(["--version"], {}), (["--help"], {}), (["push", "--help"], {}), ([], COMPLETING)],
    ids=["version", "help", "help of a command", "completion"],
)
def test_commands_without_requests_do_not_import_the_client(
    machine: Machine, words: list[str], env: dict[str, str]
) -> None:
    imported = imported_modules(machine, *words, env=env)
    assert not imported & (FOR_A_REQUEST | HEAVY)
    if words in (["--version"], ["--help"]):
        assert not imported & PARSING


@pytest.mark.parametrize(
    "line",
    [
        "versions pca",
        "validate pca@1.0.0 forest@1.0.0",
        "pipeline list",
        *(pytest.param(line, marks=pytest.mark.slow) for line in ("show pca", "ops", "tags", "links pca")),
    ],
)
def test_commands_with_a_small_request_import_no_transfer_code(stocked: Machine, line: str) -> None:
    found = imported_modules(stocked, *line.split())
    assert not found & HEAVY
    assert "requests" in found


@pytest.mark.slow
def test_push_imports_the_transfer_code_and_the_launcher(machine: Machine) -> None:
    assert imported_modules(machine, "push", "pca", str(machine.file("op", "one"))) & HEAVY == {
        "opstore_cli.folders.packing",
        "opstore_cli.local.launcher",
        "opstore_cli.transfer.upload",
    }


@pytest.mark.slow
def test_the_daemon_imports_only_what_it_needs_to_start() -> None:
    """The page, the ORM, the migrations and the dialects of other databases are imported when they are needed."""
    code = "import sys, opstore_daemon.daemon; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    unwanted = ("alembic", "grandalf", "numpy", "opstore_daemon.web.page.templating", "sqlalchemy.dialects.postgresql")
    assert not {module for module in modules if module.startswith((*unwanted, "sqlalchemy.orm"))}
    assert "opstore_daemon.web.app" in modules
