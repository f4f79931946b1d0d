"""Everything that a user can meet is in the documents."""

import inspect
import re
from pathlib import Path

import click
import pytest

from opstore_cli import OpStoreClient
from opstore_cli.doctor import CHECKS
from opstore_daemon import OpStoreServer
from opstore_daemon.protocol import errors, limits, routes
from opstore_daemon.savers import BaseSaver, Draft
from tests.support.for_each import for_each
from tests.support.markdown import ROOT, read
from tools import generate

DOCS = ROOT / "docs"
COMMANDS = list(generate.every_command())
SOURCES = [*(ROOT / "opstore_cli").rglob("*.py"), *(ROOT / "opstore_daemon").rglob("*.py")]


@for_each(("path", "command"), COMMANDS)
def test_every_command_and_each_of_its_options_is_in_the_reference(path: str, command: click.Command) -> None:
    text = read(DOCS / "commands.md")
    section = text.split(f"\n## {path}\n")[1].split("\n## ")[0]
    for parameter in command.params:
        if isinstance(parameter, click.Option) and not parameter.hidden:
            for name in (*parameter.opts, *parameter.secondary_opts):
                assert re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", section), name
    assert "--help" in section


def variables_of_the_code() -> set[str]:
    """Return the environment variables that the code reads."""
    found: set[str] = set()
    for path in SOURCES:
        text = read(path)
        found.update(re.findall(r"\bOPSTORE_[A-Z_]+\b", text))
        found.update(re.findall(r"environ(?:\.get\(|\.pop\(|\[)\"([A-Z_]+)\"", text))
        found.update(re.findall(r"\b(?:NO_COLOR|TERM|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE)\b", text))
    return found - {"SERVER_PORT"}  # of the WSGI environment


def test_the_settings_document_exactly_the_variables_that_the_code_reads() -> None:
    text = read(DOCS / "settings.md")
    told = set(re.findall(r"`([A-Z_]+)`", text))
    assert variables_of_the_code() <= told
    assert {name for name in told if name.startswith("OPSTORE_")} <= variables_of_the_code()


def test_the_table_of_doctor_has_exactly_its_checks() -> None:
    section = read(DOCS / "settings.md").split("## When something does not work")[1].split("\n## ")[0]
    assert re.findall(r"^\| `([a-z ]+)` \|", section, re.MULTILINE) == list(CHECKS)


@for_each("error", list(errors.all_errors()))
def test_every_error_is_in_its_table(error: type[errors.OpStoreError]) -> None:
    text = read(DOCS / "exit-codes.md")
    if error is errors.OpStoreError:
        assert "OpStoreError" in read(DOCS / "python.md")
        return
    (line,) = re.findall(rf"^\| `{error.__name__}`.*$", text, re.MULTILINE)
    assert f"| {error.status} | `{error.exit_code}` |" in line


@pytest.mark.parametrize("header", [name for name in vars(routes).values() if re.match(r"[A-Z][a-z]+-", str(name))])
def test_every_opstore_header_is_in_the_http_document(header: str) -> None:
    assert f"`{header}`" in read(DOCS / "http.md")


def test_the_limits_in_the_http_document_match_the_code() -> None:
    text = read(DOCS / "http.md")
    assert (limits.MAX_JSON, limits.MAX_HEADERS, limits.MAX_LIMIT) == (1 << 20, 32 << 10, 1000)
    for words in ("at most 1 MiB, as `application/json`", "at most 32 KiB", "1000 at most"):
        assert words in text


# --- Python ---------------------------------------------------------------------------------------------------------


def public(kind: type) -> set[str]:
    return {name for name in dir(kind) if callable(getattr(kind, name)) and not name.startswith("_")}


def test_every_method_of_the_client_is_in_its_table_with_its_arguments() -> None:
    calls = re.findall(r"`(\w+)\(([^)]*)\)`", read(DOCS / "python.md").split("## OpStoreServer")[0])
    told = {name: arguments for name, arguments in calls if name in public(OpStoreClient)}
    assert set(told) == public(OpStoreClient)
    for name, arguments in told.items():
        if name in ("close", "request"):
            continue
        wanted = [part.strip().lstrip("*") for part in arguments.split(",") if part.strip() not in ("", "*")]
        given = list(inspect.signature(getattr(OpStoreClient, name)).parameters)
        assert wanted == given[1:], name


def test_every_argument_of_the_server_is_in_its_table() -> None:
    text = read(DOCS / "python.md").split("## OpStoreServer")[1]
    arguments = set(inspect.signature(OpStoreServer.__init__).parameters) - {"self"}
    for_our_own_use = {"home", "clock"}
    assert {name for name in arguments if f"| `{name}` |" in text} == arguments - for_our_own_use


@pytest.mark.parametrize("kind", [BaseSaver, Draft])
def test_every_method_of_a_saver_is_in_its_table(kind: type) -> None:
    written = {"__contains__": "digest in saver", "__iter__": "iter(saver)"}
    text = read(DOCS / "savers.md")
    for name, value in vars(kind).items():
        is_told = name in written or not name.startswith("_")
        if is_told and (callable(value) or isinstance(value, property)):
            assert f"`{written.get(name, name)}" in text, name


# --- what stands elsewhere ------------------------------------------------------------------------------------------


def test_the_top_version_of_the_changelog_is_the_release() -> None:
    from opstore_cli import __version__

    versions = re.findall(r"^## \[([^\]]+)\]", read(ROOT / "CHANGELOG.md"), re.MULTILINE)
    assert versions[0] == __version__


def test_every_make_target_in_a_document_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", read(ROOT / "Makefile"), re.MULTILINE))
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md"):
        named = set(re.findall(r"(?:^\$ |`)make ([a-z-]+)", read(path), re.MULTILINE))
        assert named
        assert named <= targets


def test_every_page_is_in_the_index() -> None:
    index = read(DOCS / "index.md")
    pages = {path.name for path in DOCS.glob("*.md")} - {"index.md", "guards.md"}
    assert {page for page in pages if f"({page})" in index} == pages


def test_no_document_names_a_path_of_a_machine() -> None:
    for path in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *DOCS.glob("*.md")]:
        assert not re.search(r"/(home|root|Users|work|tmp)/", read(path)), path


def test_every_folder_and_module_in_a_document_exists() -> None:
    for path in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *DOCS.glob("*.md")]:
        for name in re.findall(
            r"`((?:opstore_\w+|tools|tests|completions|examples|docs|benchmarks)/[\w/.*-]*)`", read(path)
        ):
            assert list(ROOT.glob(name.rstrip("/"))) or Path(ROOT, name).exists(), f"{path.name}: {name}"
