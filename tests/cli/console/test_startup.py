"""What a command imports, and its garbage collection."""

import json
import subprocess
import sys

import pytest

from opstore_cli.console.application import COMMANDS
from tests.cli.console.program import RUN


def test_garbage_collection_is_rare_and_skipped_at_exit(environment: dict[str, str]) -> None:
    check = "print(gc.get_threshold()[0] > 10_000, gc.get_freeze_count() > 10_000)"
    code = f"import atexit, gc; atexit.register(lambda: {check}); "
    ran = subprocess.run(
        [sys.executable, "-c", code + RUN, "--version"], env=environment, capture_output=True, text=True
    )
    assert ran.stdout.splitlines()[1:] == ["True True"]


_LOADED = """
import sys
import time
from opstore_cli.console.command import Session
from opstore_cli.main import main
main({words!r}, Session())
print(sorted({{name.split(".")[0] for name in sys.modules}} & {{{heavy}}}), file=sys.stderr)
print(sorted(name for name in sys.modules if name.startswith("opstore_cli.commands.")), file=sys.stderr)
"""


HEAVY = "'flask', 'sqlalchemy', 'waitress', 'alembic', 'requests', 'rich', 'msgspec', 'urllib3', 'platformdirs'"


def imported_modules(environment: dict[str, str], *words: str) -> tuple[str, str]:
    code = _LOADED.format(words=list(words), heavy=HEAVY)
    ran = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    packages, commands = ran.stderr.splitlines()[-2:]
    return packages, commands


@pytest.mark.parametrize("words", [("--version",), ("--help",)])
def test_the_main_help_imports_no_command_and_no_heavy_package(
    environment: dict[str, str], words: tuple[str, ...]
) -> None:
    assert imported_modules(environment, *words) == ("[]", "[]")


# Each in a process that has imported what all of them import.
_EACH = """
import json, os, sys
from opstore_cli.console.command import Session
from opstore_cli.main import main

found = {{}}
for name in {names!r}:
    reader, writer = os.pipe()
    if not os.fork():
        sys.stdout = open(os.devnull, "w")
        main([name, "--help"], Session())
        packages = sorted({{each.split(".")[0] for each in sys.modules}} & {{{heavy}}})
        commands = sorted(each for each in sys.modules if each.startswith("opstore_cli.commands."))
        os.write(writer, json.dumps([packages, commands]).encode())
        os._exit(0)
    os.close(writer)
    with open(reader) as pipe:
        found[name] = json.load(pipe)
    os.wait()
print(json.dumps(found))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="it forks")
def test_the_help_of_a_command_imports_only_that_command(environment: dict[str, str]) -> None:
    code = _EACH.format(names=list(COMMANDS), heavy=HEAVY)
    ran = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert json.loads(ran.stdout) == {name: [[], [module]] for name, (module, _) in COMMANDS.items()}
    for name, (module, _) in COMMANDS.items():
        assert module.removesuffix("_") == f"opstore_cli.commands.{name}"


def test_a_command_never_imports_the_server_packages(environment: dict[str, str]) -> None:
    code = "import sys\nimport opstore_cli.client.client\n" + "".join(
        f"import {module}\n" for module, _ in COMMANDS.values()
    )
    code += "print(sorted({'flask', 'sqlalchemy', 'waitress', 'alembic'} & set(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"
