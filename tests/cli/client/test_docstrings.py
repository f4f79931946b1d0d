"""Every public method of the client says what it takes, returns and raises, and has an example that runs."""

import doctest
import inspect
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import opstore_cli
from opstore_cli import OpStoreClient
from opstore_cli.client.base import BaseOpStoreClient
from opstore_cli.client.chariots import ChariotsMixin
from opstore_daemon import OpStoreServer
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.records import NewBisection
from tests.support.figures import few
from tests.support.for_each import for_each
from tests.support.in_process import InProcessClient
from tests.support.new_run import new_run

SECTION = re.compile(r"^(Args|Returns|Raises|Examples):\n((?:    .*\n|\n)+)", re.MULTILINE)
ITEM = re.compile(r"^    (\w+): \S", re.MULTILINE)
METHODS = sorted(
    name
    for name, method in inspect.getmembers(OpStoreClient, inspect.isfunction)
    if not name.startswith("_") and name != "request"
)
NOT_IN_PROCESS = {"close"}
FOUND = NewBisection(command=("python", "eval.py"), good=2, bad=4, last_good=2, first_bad=4)
ABOUT_RUNS = {"record_run", "runs", "run", "run_output", "set_history", "record_bisection"}
A_RUN = new_run("pca@1.0.0", "forest@1.0.0", command=("python", "eval.py"), script=None)


def sections(name: str) -> tuple[str, dict[str, str]]:
    """Return the first line of the docstring, and its sections."""
    text = inspect.getdoc(getattr(OpStoreClient, name)) or ""
    return text.partition("\n")[0], dict(SECTION.findall(text + "\n"))


@for_each("name", METHODS)
def test_a_docstring_has_its_sections_and_exactly_the_arguments(name: str) -> None:
    first, found = sections(name)
    signature = inspect.signature(getattr(OpStoreClient, name))
    parameters = [parameter for parameter in signature.parameters if parameter != "self"]
    assert first.endswith(".")
    assert re.match(r"[A-Z][a-z]+ ", first)
    assert ITEM.findall(found.get("Args", "")) == parameters
    assert ("Returns" in found) == (signature.return_annotation not in (None, "None"))
    assert "Examples" in found
    assert "Raises" in found or name == "close"
    assert list(found) == [each for each in ("Args", "Returns", "Raises", "Examples") if each in found]


@for_each("name", METHODS)
def test_what_a_docstring_says_is_raised_is_an_error_of_the_family(name: str) -> None:
    _, found = sections(name)
    every = {error.__name__ for error in errors.all_errors()}
    assert set(ITEM.findall(found.get("Raises", ""))) <= every


@pytest.fixture
def client(memory_server: OpStoreServer) -> InProcessClient:
    """A client of the store that the examples are about."""
    client = InProcessClient(memory_server)
    client.push("forest", b"trees")
    client.push("pca", b"components", valid_for="forest@1.0.0")
    client.push("pca", b"other components", bump="major")
    client.register_pipeline("iris", ["pca", "forest"])
    return client


@pytest.mark.parametrize("name", few(12, [name for name in METHODS if name not in NOT_IN_PROCESS]))
def test_the_example_of_a_method_does_what_it_says(
    client: InProcessClient, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = inspect.getdoc(getattr(OpStoreClient, name)) or ""
    names: dict[str, Any] = {"client": client, "opstore_cli": opstore_cli, "SimpleNamespace": SimpleNamespace}
    if name in ABOUT_RUNS:
        names |= {"run": A_RUN, "found": FOUND}
        client.record_run("iris", A_RUN)
    test = doctest.DocTestParser().get_doctest(text, names, name, None, None)
    said: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert runner.run(test, out=said.append).attempted > 0
    assert said == []
    assert f"client.{name}(" in text


def test_completion_of_a_client_does_not_mix_in_the_verbs_of_chariots(client: InProcessClient) -> None:
    offered = [name for name in dir(client) if not name.startswith("_")]
    assert not set(offered) & set(vars(ChariotsMixin))
    assert {"push", "pull", "validate", "path", "load"} <= set(offered)
    chariots: Callable[..., object] = client.pipeline_exists  # they are there all the same
    assert chariots("iris") is True
    assert "get_all_versions_of_op" in dir(BaseOpStoreClient)
