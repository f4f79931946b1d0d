"""What an option of a command does, an argument of the Python client does, too."""

import inspect
from pathlib import Path

import click
import pytest

from opstore_cli.client.client import OpStoreClient
from opstore_daemon import OpStoreServer
from opstore_daemon.protocol import errors
from tests.support.in_process import InProcessClient
from tools import generate

# Of every command; the client has them as arguments of OpStoreClient, or prints nothing.
GLOBAL = {"--url", "--json", "--quiet", "--verbose", "--no-color"}
# Commands about this machine: its daemon, its settings and its shell.
OF_THE_MACHINE = {
    "opstore", "start", "stop", "restart", "status", "logs", "serve", "backup", "restore", "migrate", "db",
    "db upgrade", "db current", "open", "login", "logout", "config", "config show", "config set", "config unset",
    "token", "completion", "doctor", "help", "import", "import chariots", "import mlflow",
    "import export", "copy", "export", "op", "pipeline",
}  # fmt: skip
# The method for each command, and the argument for each option; in parentheses, what does the same in Python.
VERBS: dict[str, tuple[str, dict[str, str]]] = {
    "push": (
        "push",
        {
            "NAME": "op", "FILE": "source", "--from-command": "(push what a program returned)", "--all": "(a loop)",
            "--bump": "bump", "--new": "new", "--tag": "tags", "--follow-links": "follow_links", "--exclude": "exclude",
            "--field": "fields", "--subversions": "subversions", "--valid-for": "valid_for",
            "--valid-with": "valid_with", "--label": "labels", "--message": "message",
        },
    ),
    "register": (
        "register",
        {
            "NAME": "op", "--field": "fields", "--subversions": "subversions", "--valid-for": "valid_for",
            "--valid-with": "valid_with", "--label": "labels", "--message": "message",
        },
    ),
    "pull": (
        "pull_lock",
        {
            "REFERENCES": "(pull)", "--output": "(pull: to)", "--directory": "folder", "--force": "overwrite",
            "--keep-suffix": "keep_suffix", "--prune": "prune", "--valid-for": "(versions: valid_for)",
            "--pipeline": "pipeline", "--timeout": "(resolve: timeout)", "--lock": "lock",
        },
    ),
    "versions": (
        "versions",
        {
            "REFERENCES": "op", "--valid-for": "valid_for", "--label": "label", "--latest": "(limit=1)",
            "--limit": "limit", "--as-of": "as_of",
        },
    ),
    "gc": ("collect_garbage", {"--dry-run": "dry_run", "--grace": "grace", "--purge": "purge"}),
    "show": ("details", {"REFERENCE": "reference", "--as-of": "as_of"}),
    "ops": ("ops", {"--label": "label"}),
    "diff": ("diff", {"ONE": "one", "OTHER": "other", "--files": "files"}),
    "log": ("log", {"NAME": "name", "--limit": "limit"}),
    "edit": ("edit", {"REFERENCE": "reference", "--message": "message", "--label": "labels", "--unlabel": "unlabel"}),
    "tag": ("tag", {"WORDS": "references", "--lock": "(read_lock)"}),
    "untag": ("untag", {"NAME": "op", "TAG": "tag"}),
    "tags": ("tags", {"NAME": "op", "--history": "history", "--as-of": "as_of"}),
    "yank": ("yank", {"REFERENCE": "reference", "--reason": "reason"}),
    "unyank": ("unyank", {"REFERENCE": "reference"}),
    "remove": (
        "remove",
        {
            "REFERENCES": "references", "--all-versions": "all_versions", "--force": "force", "--dry-run": "dry_run",
            "--reason": "reason", "--yes": "(nobody is asked)",
        },
    ),
    "op set": ("set_op", {"NAME": "op", "--compat": "compat", "--description": "description"}),
    "link": (
        "link",
        {"UPSTREAM": "upstream", "DOWNSTREAM": "downstream", "--invalid": "valid", "--evidence": "evidence"},
    ),
    "unlink": ("unlink", {"UPSTREAM": "upstream", "DOWNSTREAM": "downstream"}),
    "links": ("links", {"NAME": "op", "--as-of": "as_of"}),
    "validate": (
        "validate_pipeline",
        {
            "SUBJECT": "pipeline", "--use": "use", "--exact-set": "exact_set", "--allow-unknown": "(the verdict)",
            "--wait": "(wait: seconds)", "--format": "(a form of the output)", "--as-of": "as_of",
            "--env": "environment", "--env-file": "environment",
        },
    ),
    "verify": (
        "verify",
        {
            "PIPELINE": "pipeline", "--run": "command_or_function", "--use": "use", "--lock": "lock",
            "--resolved": "resolved", "--directory": "folder", "--force": "overwrite", "--timeout": "timeout",
            "--repeat": "repeat", "--script": "script_path",
        },
    ),
    "bisect": (
        "bisect",
        {
            "PIPELINE": "pipeline", "--run": "command_or_function", "--good": "good", "--bad": "bad",
            "--rerun": "rerun", "--timeout": "timeout", "--repeat": "repeat", "--script": "script_path",
            "--lock": "(write_lock)",
        },
    ),
    "resolve": (
        "resolve",
        {
            "PIPELINE": "pipeline", "--use": "use", "--lock": "(write_lock)", "--upgrade": "upgrade",
            "--check": "(check_lock)", "--timeout": "timeout", "--as-of": "as_of",
        },
    ),
    "runs": (
        "runs",
        {
            "PIPELINE": "pipeline", "--result": "result", "--reference": "version", "--limit": "limit",
            "--output": "(run_output)",
        },
    ),
    "fsck": (
        "fsck", {"--read-data": "read_data", "--read-data-subset": "subset", "--rate": "rate", "--repair": "repair"}
    ),
    "affected": ("affected", {"REFERENCE": "reference", "--pipeline": "pipeline", "--as-of": "as_of"}),
    "graph": (
        "validate_pipeline",
        {"PIPELINE": "pipeline", "--format": "(a form of the output)", "--use": "use", "--as-of": "as_of"},
    ),
    "pipeline register": (
        "register_pipeline",
        {"NAME": "name", "OPS": "ops", "--edge": "edges", "--file": "(a form of the input)"},
    ),
    "pipeline list": ("pipelines", {}),
    "pipeline show": ("pipeline", {"NAME": "name"}),
    "pipeline remove": ("remove_pipeline", {"NAME": "name"}),
}  # fmt: skip
COMMANDS = {path.removeprefix("opstore "): command for path, command in generate.every_command()}


def test_every_command_about_the_store_has_a_method() -> None:
    assert set(COMMANDS) - OF_THE_MACHINE == set(VERBS)


@pytest.mark.parametrize("path", VERBS)
def test_every_option_of_a_command_is_an_argument_of_its_method(path: str) -> None:
    method, arguments = VERBS[path]
    options = {
        parameter.opts[-1] if isinstance(parameter, click.Option) else str(parameter.name).upper()
        for parameter in COMMANDS[path].params
        if not getattr(parameter, "hidden", False)
    }
    assert options - GLOBAL == set(arguments)
    named = {argument for argument in arguments.values() if not argument.startswith("(")}
    assert named <= set(inspect.signature(getattr(OpStoreClient, method)).parameters)


@pytest.fixture
def client(memory_server: OpStoreServer) -> InProcessClient:
    """A client of a store with a pipeline of two ops."""
    client = InProcessClient(memory_server)
    client.push("forest", b"trees", filename="model.bin")
    client.save("pca", [1, 2], filename="pca.json", valid_for="forest@1.0.0")
    client.register_pipeline("iris", ["pca", "forest"])
    return client


def test_a_lock_is_written_read_and_pulled_and_what_it_no_longer_has_is_removed(
    client: InProcessClient, tmp_path: Path
) -> None:
    lock, models = tmp_path / "opstore.lock", tmp_path / "models"
    models.mkdir()
    client.write_lock(client.resolve("iris"), lock)
    assert client.check_lock("iris", lock)
    assert client.read_lock(lock) == client.resolve("iris").lock()
    assert client.resolve("iris", lock=str(lock), upgrade="pca") == client.resolve("iris")
    assert len(client.pull_lock(lock, models, keep_suffix=True)) == 2
    assert names_in(models) == ["forest.bin", "pca.json"]
    (models / "mine").write_text("mine")
    client.pull_lock(lock, models)
    client.pull_lock(lock, models, prune=True)
    assert names_in(models) == ["forest", "mine", "pca"]
    client.pull_lock(client.resolve("iris").lock(), models, keep_suffix=True, pipeline="iris", prune=True)
    assert names_in(models) == ["forest.bin", "mine", "pca.json"]
    with pytest.raises(errors.InvalidRequest, match="prune=True needs pipeline"):
        client.pull_lock(client.resolve("iris").lock(), models, prune=True)


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def test_another_file_is_neither_read_as_a_lock_nor_replaced_by_one(client: InProcessClient, tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text("[tool]\n")
    with pytest.raises(errors.FileRefused):
        client.check_lock("iris", path)
    with pytest.raises(errors.FileRefused):
        client.write_lock(client.resolve("iris"), path)
    assert path.read_text() == "[tool]\n"


def test_bytes_and_objects_are_stored_with_a_file_name(client: InProcessClient) -> None:
    assert client.show("forest").filename == "model.bin"
    assert client.show("pca").filename == "pca.json"
    assert client.load("pca") == [1, 2]
