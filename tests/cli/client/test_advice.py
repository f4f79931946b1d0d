"""The advice of an error in a traceback: in the words of Python, while the commands keep theirs."""

import pickle
import re
import traceback
from pathlib import Path
from string import Formatter
from typing import Any

import pytest

from opstore_cli import OpStoreClient
from opstore_daemon import OpStoreServer
from opstore_daemon.protocol import errors
from opstore_daemon.savers import MemorySaver
from tests.support.for_each import for_each
from tests.support.in_process import InProcessClient

COMMAND = re.compile(r"\bopstore [a-z]|(?<![\w-])--?[a-z]+(?![\w-])|\bcommand\b")


def advice(error: errors.OpStoreError) -> str:
    """Return the last line of the traceback."""
    return traceback.format_exception(error)[-1].strip()


@pytest.fixture
def client(memory_server: OpStoreServer) -> InProcessClient:
    """A client of an empty store."""
    return InProcessClient(memory_server)


@for_each("error", list(errors.all_errors()))
def test_no_advice_in_python_names_an_option_or_a_command_that_is_not_for_a_shell(
    error: type[errors.OpStoreError],
) -> None:
    words = error.hint if error.python is None else error.python
    assert not COMMAND.search(words.replace("opstore_", "").partition("in a shell")[0]), words


@for_each("error", list(errors.all_errors()))
def test_the_advice_needs_no_details_that_the_error_has_not(error: type[errors.OpStoreError]) -> None:
    """What the words of Python name is what the message or the advice of the command names, or what was called."""
    named = {name for template in (error.message, error.hint) for _, name, _, _ in Formatter().parse(template) if name}
    needed = {name for _, name, _, _ in Formatter().parse(error.python or "") if name}
    known = named | {"called"} | ({"op"} if error in (errors.LinkNotFound, errors.TagYanked) else set())
    assert needed <= known


def test_the_traceback_says_what_to_pass_and_the_advice_of_the_command_stays(
    client: InProcessClient, tmp_path: Path
) -> None:
    client.save("model", object, format="pickle")
    with pytest.raises(errors.LoadingRunsCode) as refused:
        client.load("model")
    assert advice(refused.value).startswith("if you trust everybody who can push here, pass allow_pickle=True")
    (tmp_path / "there").write_text("mine")
    with pytest.raises(errors.OutputExists) as there:
        client.pull("model", tmp_path / "there")
    assert advice(there.value) == "move it away, or pass another path"
    assert there.value.advice == "move it away, or choose another path"
    with pytest.raises(errors.OpNotFound) as nobody:
        client.versions("nobody")
    assert advice(nobody.value) == "client.ops() lists the ops"
    assert nobody.value.advice == "opstore ops"
    with pytest.raises(errors.OpNotFound) as similar:
        client.show("modle")
    assert advice(similar.value) == "did you mean model?"
    with pytest.raises(errors.InvalidArgument) as wrong:
        client.push("pca", 5)  # type: ignore[arg-type]
    assert advice(wrong.value) == "client.save(op, obj) stores a Python object, such as an array"


def test_the_note_is_that_of_the_method_that_was_called_and_there_once(client: InProcessClient) -> None:
    def fail(*_: object, **__: object) -> Any:
        raise errors.ConnectionLost(url="http://x", reason="reset")

    client.request = fail  # type: ignore[method-assign]
    with pytest.raises(errors.ConnectionLost) as caught:
        client.ops()
    assert caught.value.__notes__ == ["call client.ops() again"]
    with pytest.raises(errors.ConnectionLost) as saved:
        client.register_valid_link("forest", "pca", "aaaa.bbbb.cccc")
    assert saved.value.__notes__ == ["call client.register_valid_link() again"]
    own = errors.ConnectionLost(url="http://x", reason="reset")
    own.add_note("the user's own")

    def fail_again(*_: object, **__: object) -> Any:
        raise own

    client.request = fail_again  # type: ignore[method-assign]
    for _ in range(2):
        with pytest.raises(errors.ConnectionLost):
            client.status()
    assert own.__notes__ == ["the user's own", "call client.status() again"]


def test_the_traceback_of_a_pipeline_without_a_resolution_has_the_conflict(client: InProcessClient) -> None:
    client.push("forest", b"trees")
    client.push("pca", b"one")
    client.link("pca@1.0.0", "forest@1.0.0", valid=False)
    client.register_pipeline("churn", ["pca", "forest"])
    with pytest.raises(errors.NoSet) as caught:
        client.resolve("churn")
    first, last = caught.value.__notes__
    assert first.startswith("pca@1.0.0 -> forest@1.0.0: invalid: ")
    assert last.startswith("client.validate_pipeline('churn') has the verdict of each edge")
    copied = pickle.loads(pickle.dumps(caught.value))  # noqa: S301
    assert (copied.text, copied.resolution) == (caught.value.text, caught.value.resolution)


def test_an_error_of_a_pull_that_was_started_has_its_advice_too(client: InProcessClient, tmp_path: Path) -> None:
    client.push("pca", b"bytes")
    (tmp_path / "there").write_text("mine")
    with pytest.raises(errors.OutputExists) as caught, client.start_pull("pca") as pull:
        pull.to_path(tmp_path / "there", overwrite=False)
    assert advice(caught.value) == "move it away, or pass another path"


def test_what_another_daemon_sent_neither_breaks_the_note_nor_reaches_the_terminal() -> None:
    error = errors.from_wire("VersionNotFound", 404, "text", "opstore versions pca", {"op": "\x1b[2Jpca"})
    assert error.in_python("client.show()") == "client.versions('\x1b[2Jpca') lists the versions"
    assert errors.from_wire("VersionNotFound", 404, "text", "opstore versions pca", {}).in_python("show") == ""
    unknown = errors.from_wire("Unheard", 404, "text", "opstore frob", {})
    assert unknown.in_python("show") == "in a shell: opstore frob"
    with MemoryClient(errors.from_wire("VersionNotFound", 404, "x", "", {"op": "\x1b[2Jpca"})) as hostile:
        with pytest.raises(errors.VersionNotFound) as caught:
            hostile.show("pca")
        assert "\x1b" not in "".join(caught.value.__notes__)


class MemoryClient(InProcessClient):
    """A client whose requests fail with an error."""

    def __init__(self, error: errors.OpStoreError) -> None:
        self._server = OpStoreServer(MemorySaver())
        super().__init__(self._server)
        self._error = error

    def request(self, *_: Any, **__: Any) -> Any:
        raise self._error

    def __enter__(self) -> "MemoryClient":
        return self

    def __exit__(self, *_: object) -> None:
        self._server.close()


def test_errors_of_the_constructors_have_their_advice(tmp_path: Path) -> None:
    with pytest.raises(errors.InvalidArgument) as wrong:
        OpStoreClient(url=5)  # type: ignore[arg-type]
    assert "url must be" in wrong.value.text
    saver = MemorySaver()
    server = OpStoreServer(saver)
    try:
        with pytest.raises(errors.StoreInUse) as caught:
            OpStoreServer(saver)
        assert advice(caught.value) == "one at a time: close() the earlier server, or pass another saver and db_url"
    finally:
        server.close()
