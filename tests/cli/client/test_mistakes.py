"""Mistakes at a prompt: the last lines of the traceback say what is wrong, and what to call instead."""

import re
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from opstore_cli import OpStoreClient
from opstore_cli.client import mistakes
from opstore_cli.client.warnings import NotRecordedWarning, YankedWarning
from opstore_cli.objects import LibraryWarning
from opstore_daemon import OpStoreServer
from opstore_daemon.protocol import errors
from opstore_daemon.savers import MemorySaver
from tests.support.in_process import InProcessClient


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A client of a small store. Its type is Any: what a type checker would find is what this is about."""
    server = OpStoreServer(MemorySaver())
    client = InProcessClient(server)
    client.push("forest", b"trees")
    client.push("pca", b"one", valid_for="forest@1.0.0", tags="best")
    client.register_pipeline("iris", ["pca", "forest"])
    client.save("model", object, format="pickle")
    client.push("declared", b"one", subversions="aaaa.bbbb.cccc")
    client.push("yanked", b"one", tags="live")
    client.yank("yanked@1.0.0", "leaks the target")
    yield client
    server.close()


def last_lines(call: Callable[[Any], object], client: Any) -> tuple[str, str]:
    """Return the last two lines of the traceback of what the call raises, without the module of the error."""
    with pytest.raises((errors.OpStoreError, TypeError, AttributeError)) as caught:
        call(client)
    assert caught.value.__cause__ is None or isinstance(caught.value, errors.Unreachable)
    text = "".join(traceback.format_exception(caught.value)).splitlines()
    return text[-2].removeprefix("opstore_daemon.protocol.errors."), text[-1]


MISTAKES: dict[str, tuple[Callable[[Any], object], str, str]] = {
    "a mistyped name": (lambda client: client.show("pcaa"), "OpNotFound: there is no op pcaa", "did you mean pca?"),
    "a name in capitals": (lambda client: client.push("MyModel", b""), "InvalidName: 'MyModel' ", "use my_model"),
    "a colon": (lambda client: client.show("pca:1.0.0"), "InvalidName: 'pca:1.0.0' ", "use pca@1.0.0"),
    "a version that is not there": (
        lambda client: client.show("pca@9.9.9"),
        "VersionNotFound: no version of pca matches 9.9.9",
        "client.versions('pca') lists the versions",
    ),
    "an object as bytes": (
        lambda client: client.push("pca", {"a": 1}),
        "InvalidArgument: source must be bytes, ",
        "client.save(op, obj) stores a Python object, such as an array",
    ),
    "a text as bytes": (
        lambda client: client.push("pca", "the text"),
        "FileRefused: the text: there is no such file",
        "client.push() takes the op and a source: a str is the path of one; to store a text pass text.encode()",
    ),
    "swapped arguments": (
        lambda client: client.push(b"bytes", "pca"),
        "InvalidArgument: op must be a text (str), not bytes",
        "the name of the op comes first, such as 'pca'",
    ),
    "a number as a label": (
        lambda client: client.push("pca", b"", labels={"run": 17}),
        "InvalidArgument: labels must be a mapping of texts to texts (str), not dict with int in it",
        "write {'run': '17'}",
    ),
    "a version number in place of a level": (
        lambda client: client.push("pca", b"", bump="2.1.0"),
        "InvalidArgument: bump must be 'major', 'minor' or 'patch', not '2.1.0'",
        "the store assigns version numbers; tags='v2.1.0' gives a version a name of your own",
    ),
    "another argument": (
        lambda client: client.push("pca", b"", tag="best"),
        "TypeError: client.push(): got an unexpected keyword argument 'tag'",
        "did you mean tags=?",
    ),
    "an argument of another library": (
        lambda client: client.push("pca", b"", msg="best"),
        "TypeError: client.push(): got an unexpected keyword argument 'msg'",
        "did you mean message=?",
    ),
    "an argument of no library": (
        lambda client: client.untag("pca", "best", shards=3),
        "TypeError: client.untag(): got an unexpected keyword argument 'shards'",
        "client.untag() takes op, tag",
    ),
    "a pipeline in place of an edge": (
        lambda client: client.validate("iris"),
        "TypeError: client.validate(): missing a required argument: 'downstream'",
        "client.validate_pipeline(pipeline) gives the verdict of a pipeline",
    ),
    "a method of another library": (
        lambda client: client.download("pca"),
        "AttributeError: 'InProcessClient' object has no attribute 'download'",
        "client.pull(reference, to) writes a version to a path; client.load(reference) returns a Python object",
    ),
    "a tag of a yanked version": (
        lambda client: client.pull("yanked@live"),
        "TagYanked: yanked@live is 1.0.0, which is yanked: leaks the target",
        "client.tag('yanked@latest', 'live') moves the tag; 'yanked@1.0.0' selects the yanked version itself",
    ),
    "other bytes": (
        lambda client: client.push("declared", b"two", subversions="aaaa.bbbb.cccc"),
        "VersionConflict: declared@1.0.0 has the subversions aaaa.bbbb.cccc already, with other bytes: sha256:",
        "pass other subversions or fields, or otherwise='patch' to store these bytes as a new patch version",
    ),
    "a pickle": (
        lambda client: client.load("model"),
        "LoadingRunsCode: model@1.0.0 is a pickle file: loading it can run arbitrary code",
        "if you trust everybody who can push here, pass allow_pickle=True; ",
    ),
    "plain bytes as an object": (
        lambda client: client.load("pca"),
        "FormatNeeded: pca@1.0.0 needs a format: it was pushed as bytes, without a format",
        "pass format=..., one of bytes, json, ",
    ),
    "a path that is taken": (
        lambda client: client.pull("pca", "there"),
        "OutputExists: there exists already",
        "move it away, or pass another path",
    ),
    "a mistyped pipeline": (
        lambda client: client.resolve("irris"),
        "PipelineNotFound: there is no pipeline irris",
        "did you mean iris?",
    ),
    "an op in place of a pipeline": (
        lambda client: client.resolve("pca"),
        "PipelineNotFound: there is no pipeline pca",
        "pca is an op of the pipeline iris",
    ),
    "a daemon that is down": (
        lambda _: OpStoreClient("http://127.0.0.1:9", token="a-token-of-the-test").ops(),
        "DaemonUnreachable: no daemon answers at http://127.0.0.1:9: ",
        "start it there, in a shell: opstore serve; OpStoreClient() without a URL uses the local daemon",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_the_last_lines_say_what_is_wrong_and_what_to_do(
    mistake: str, client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPSTORE_HOME", str(tmp_path / "home"))
    Path("there").write_text("mine")
    call, said, advice = MISTAKES[mistake]
    text, note = last_lines(call, client)
    assert text.startswith(said)
    assert note.startswith(advice)


def test_a_missing_library_is_named_with_the_command_that_installs_it(
    client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "joblib", None)
    with pytest.raises(errors.LibraryMissing) as caught:
        client.save("model", object(), format="joblib")
    assert caught.value.__notes__ == ["pip install 'opstore[joblib]'"]


def test_a_closed_client_opens_new_connections(client: Any, opstore_memory_server: Any) -> None:
    with OpStoreClient(opstore_memory_server.url, token=opstore_memory_server.token) as made:
        assert made.ops() == []
    assert made.ops() == []
    made.close()


def test_every_method_that_is_recommended_is_there(client: Any) -> None:
    recommended = set(re.findall(r"client\.(\w+)\(", " ".join(mistakes._METHODS)))
    assert recommended
    assert recommended <= set(dir(client))
    assert not any(hasattr(client, name) for name in mistakes._MEANT), "a name that is there is never asked about"


def test_a_warning_names_the_line_of_the_program(client: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OPSTORE_CACHE", str(tmp_path))
    client.push("old", b"[1]", format="json", libraries={"python": "2.7"})
    calls: list[tuple[type[Warning], Callable[[], object]]] = [
        (YankedWarning, lambda: client.show("yanked@1.0.0")),
        (YankedWarning, lambda: client.validate("yanked@1.0.0", "forest")),
        (YankedWarning, lambda: client.pull("yanked@1.0.0", tmp_path / "pulled")),
        (LibraryWarning, lambda: client.load("old")),
        (NotRecordedWarning, lambda: client.push("forest", b"trees", message="new")),
    ]
    for kind, call in calls:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            call()
        assert [(each.category, each.filename) for each in caught] == [(kind, __file__)]


def test_completion_of_a_record_offers_its_fields_and_no_constants(client: Any) -> None:
    offered = [name for name in dir(client.versions("pca")) if not name.startswith("_")]
    assert {"op", "versions", "skipped", "to_dict"} <= set(offered)
    assert not any(name.isupper() for name in offered)
