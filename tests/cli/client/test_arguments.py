"""Arguments of a wrong type are refused with an error that names them; useful ones of another type are taken."""

import inspect
import io
import math
import os
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from opstore_cli import OpStoreClient
from opstore_cli.client import arguments
from opstore_cli.client.base import BaseOpStoreClient
from opstore_cli.client.chariots import ChariotsMixin
from opstore_cli.config.settings import Settings
from opstore_daemon import OpStoreServer
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.records import Lock, NewBisection, Resolution
from tests.support.fake_daemon import TOKEN, FakeDaemon
from tests.support.for_each import for_each
from tests.support.in_process import InProcessClient
from tests.support.new_run import new_run

RESOLUTION = Resolution(pipeline="churn", verdict="valid", versions=(), edges=(), skipped=(), position=0)
# A legal value of each argument that has to be given.
GIVEN: dict[str, Any] = {
    "op": "pca", "name": "pca", "pipeline": "churn", "tag": "stable", "reference": "pca", "references": ["pca"],
    "upstream": "pca", "downstream": "forest", "reason": "bad", "compat": "major", "source": b"x", "obj": b"x",
    "one": "pca", "other": "pca", "seconds": 0, "lock": Lock(edges=(), versions=()), "folder": "models",
    "resolution": RESOLUTION, "path": "opstore.lock", "position": 5, "new_run": new_run("pca@1.0.0", "forest@1.0.0"),
    "command_or_function": ["true"],
    "new_bisection": NewBisection(command=("pytest",), good=1, bad=2, last_good=1, first_bad=2),
    "good": 1,
}  # fmt: skip
EAST = timezone(timedelta(hours=5))
WRONG: dict[Callable[..., Any], list[Any]] = {
    arguments.text: [5, b"pca", Path("pca"), ["pca"], "\ud800", object()],
    arguments.bump: [5, b"major", "huge", "2.1.0", ""],
    arguments.compat: [5, "minr"],
    arguments.end: [1.5, b"12", [12], True, object()],
    arguments.result: [5, "valid", ""],
    arguments.new_bisection: [5, "pytest", {}, RESOLUTION],
    arguments.new_run: [5, "run", {}, RESOLUTION],
    arguments.otherwise: [5, "replace"],
    arguments.texts: [5, b"pca", {"pca": 1}, [5], ["pca", None], ["a\udc80"], np.array("pca")],
    arguments.texts_in_order: [5, b"pca", {"pca": 1}, [5], {"pca", "forest"}, frozenset({"pca"})],
    arguments.reference: [5, b"pca", Path("pca"), ["pca"], "\ud800", object()],
    arguments.references: [5, b"pca", {"pca": 1}, [5], ["pca", None], ["a\udc80"], np.array("pca")],
    arguments.references_or_lock: [5, b"pca", {"pca": 1}, [5], ["pca", None], ["a\udc80"]],
    arguments.trusted: [5, b"PCA", {"PCA": 1}, [5], ["PCA", None], True],
    arguments.resolution: [5, "iris", Lock(edges=(), versions=())],
    arguments.lock: [5, ["pca@1.0.0"], {"edges": [], "versions": []}],
    arguments.environment: [5, b"requirements.txt", None, [], np.zeros(3), "a\0b", ""],
    arguments.path: [5, b"models", None, object(), "a\0b", ""],
    arguments.pairs: ["ab", ["ab"], [("a",)], [("a", "b", "c")], [("a", 5)], 5, {"a": "b"}, np.array("ab")],
    arguments.mapping: [5, "a=b", ["a"], {"a": 1}, {1: "a"}, {"a": None}, {"a": "\ud800"}],
    arguments.fields: [5, {"major": 5}, {"major": {"a": 1}}, {1: {}}, {"huge": {"a": "1"}}],
    arguments.count: ["5", 5.0, True, object(), np.zeros(3)],
    arguments.number: ["5", object(), math.nan, -math.inf, 10**400, Decimal("sNaN"), True, np.zeros(3), 1j],
    arguments.flag: ["no", 2, object(), [], np.zeros(3), Path("x")],
    arguments.time: [5.0, b"1", object(), True, datetime, datetime.min.replace(tzinfo=EAST), np.zeros(3)],
    arguments.subversions: [5, b"aaaa.bbbb.cccc", object()],
    arguments.source: [np.zeros(3), 5, None, object(), {"a": 1}, [b"x"], ""],
    arguments.target: [5, b"path", object(), "a\0b", "", io.StringIO()],
    arguments.function: [5, "print"],
    arguments.command_or_function: ["python eval.py", "a 'b", 5, None, {"sh", "-c"}, [5], b"true"],
    arguments.progress: [5, "yes", [], np.zeros(3)],
}


def verbs() -> Iterator[tuple[str, str]]:
    """Yield each public method of the client with each of its checked arguments."""
    for name, method in inspect.getmembers(BaseOpStoreClient, inspect.isfunction):
        if name.startswith("_") or name in vars(ChariotsMixin) or name == "request":
            continue
        for parameter in inspect.signature(method).parameters.values():
            if parameter.name in arguments.CHECKS:
                yield name, parameter.name


@pytest.fixture(scope="module")
def silent() -> Iterator[FakeDaemon]:
    """A daemon that no test sends anything."""
    with FakeDaemon() as fake:
        yield fake


@pytest.fixture(scope="module")
def refusing(silent: FakeDaemon, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpStoreClient]:
    """A client of that daemon."""
    settings = Settings(home=tmp_path_factory.mktemp("home")).with_url(silent.url)
    with OpStoreClient(settings=settings, token=TOKEN) as made:
        yield made


@for_each(("verb", "argument"), list(verbs()))
def test_a_wrong_type_is_refused_by_the_name_of_its_argument_before_anything_is_sent(
    silent: FakeDaemon, refusing: OpStoreClient, verb: str, argument: str
) -> None:
    method = getattr(refusing, verb)
    parameters = inspect.signature(method).parameters
    required = {n: GIVEN[n] for n, p in parameters.items() if p.default is p.empty and p.kind is not p.VAR_POSITIONAL}
    for wrong in WRONG[arguments.CHECKS[argument]]:
        if wrong is None and parameters[argument].default is None:
            continue
        given, named = ((wrong,), required) if argument == "subject" else ((), {**required, argument: wrong})
        with pytest.raises(errors.InvalidArgument) as caught:
            method(*given, **named)
        assert caught.value.text.startswith(f"{argument} must be ")
        assert isinstance(caught.value, TypeError)
    assert silent.log == []


def test_no_other_argument_of_a_verb_is_unchecked() -> None:
    unchecked = {
        parameter
        for name, method in inspect.getmembers(BaseOpStoreClient, inspect.isfunction)
        if not name.startswith("_") and name not in vars(ChariotsMixin) and name != "request"
        for parameter in inspect.signature(method).parameters
        if parameter not in arguments.CHECKS
    }
    assert unchecked == {"self", "obj", "expected"}


def test_an_array_is_refused_with_the_verb_that_stores_it(client: OpStoreClient) -> None:
    with pytest.raises(TypeError) as caught:
        client.push("s", np.zeros(3))  # type: ignore[arg-type]
    error = caught.value
    assert isinstance(error, errors.InvalidArgument)
    expected = "bytes, the path of a file or folder, or a binary file object"
    assert error.text == f"source must be {expected}, not numpy.ndarray"
    assert error.advice == "client.save(op, obj) stores a Python object, such as an array"


def test_the_error_says_what_is_in_a_sequence(client: OpStoreClient) -> None:
    with pytest.raises(
        errors.InvalidArgument, match=r"valid_for must be a sequence of texts \(str\), not list with int"
    ):
        client.push("pca", b"x", valid_for=[5])  # type: ignore[list-item]
    with pytest.raises(errors.InvalidArgument, match=r"lone surrogate '.ud800', which UTF-8 can't represent"):
        client.push("pca", b"x", message="\ud800")


def test_the_constructor_refuses_wrong_types_too(tmp_path: Path) -> None:
    for wrong in ({"url": 5}, {"url": Path("http://x")}, {"token": b"secret"}, {"settings": "settings"}):
        with pytest.raises(errors.InvalidArgument, match=f"{next(iter(wrong))} must be "):
            OpStoreClient(**wrong)


def test_a_missing_or_unknown_argument_is_a_type_error(client: OpStoreClient) -> None:
    with pytest.raises(TypeError, match=r"push.*missing a required argument: 'source'"):
        client.push("pca")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"push.*unexpected keyword argument 'mesage'"):
        client.push("pca", b"x", mesage="typo")  # type: ignore[call-arg]


class OwnPath:
    """A path of another library."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __fspath__(self) -> bytes:
        return os.fsencode(self._path)


def test_other_types_with_a_clear_meaning_are_accepted(memory_server: OpStoreServer, tmp_path: Path) -> None:
    client = InProcessClient(memory_server)
    (tmp_path / "file").write_bytes(b"bytes")
    client.push("forest", b"a forest")
    pushed = client.push("pca", OwnPath(tmp_path / "file"), tags="stable", valid_for="forest", labels=None)  # type: ignore[arg-type]
    assert pushed.tags == ("stable",)
    assert [link.downstream for link in client.links("pca")] == ["forest"]
    client.pull("pca", OwnPath(tmp_path / "pulled"))  # type: ignore[call-overload]
    assert (tmp_path / "pulled").read_bytes() == b"bytes"
    client.register_pipeline("one", "pca")
    assert client.pipeline("one").ops == ("pca",)
    client.push("pca", bytearray(b"more"), valid_with=None, tags=None)  # type: ignore[arg-type]
    client.push("pca", memoryview(b"and more"))  # type: ignore[arg-type]


def test_the_record_of_a_version_is_a_reference_to_it(memory_server: OpStoreServer) -> None:
    client = InProcessClient(memory_server)
    old, forest = client.push("pca", b"old"), client.push("forest", b"trees")
    client.push("pca", b"new")
    linked = client.link(old, forest)  # type: ignore[arg-type]
    assert (linked.upstream_version, linked.downstream_version) == ("1.0.0", "1.0.0")
    assert client.pull(old) == b"old"  # type: ignore[call-overload]
    edge = client.validate(old, forest).edges[0]  # type: ignore[arg-type]
    assert client.show(edge.upstream).version == "1.0.0"  # type: ignore[arg-type]
    client.register_pipeline("churn", ["pca", "forest"])
    assert client.validate_pipeline("churn", use=old).versions == client.validate_pipeline("churn", use=[old]).versions  # type: ignore[arg-type, list-item]
    assert [tag.version for tag in client.tag([old, forest], "live")] == ["1.0.0", "1.0.0"]  # type: ignore[list-item]
    with pytest.raises(errors.InvalidName):
        client.push(old, b"bytes")  # type: ignore[arg-type]


TEXT_FOR_SEQUENCE: dict[str, Callable[[InProcessClient], object]] = {
    "tags of push": lambda client: client.push("new", b"x", tags="stable").tags == ("stable",),
    "tags of save": lambda client: client.save("new", [1], tags="stable").tags == ("stable",),
    "valid_for": lambda client: client.push("new", b"x", valid_for="forest@1.0.0").op == "new",
    "valid_for of save": lambda client: client.save("new", [1], valid_for="forest@1.0.0").op == "new",
    "valid_with": lambda client: client.save("new", [1], valid_with="pca").op == "new",
    "valid_for of register": lambda client: (
        client.register("new", fields={"major": {"a": "b"}}, valid_for="forest@1.0.0", valid_with="pca").created
    ),
    "valid_for of versions": lambda client: len(client.versions("pca", valid_for="forest")) == 1,
    "use of validate_pipeline": lambda client: client.validate_pipeline("churn", use="pca@1.0.0"),
    "use of wait": lambda client: client.wait("churn", seconds=0, use="pca@1.0.0"),
    "use of resolve": lambda client: client.resolve("churn", use="pca@1.0.0"),
    "references of tag": lambda client: len(client.tag("pca", "live")) == 1,
    "ops": lambda client: client.register_pipeline("other", "pca").ops == ("pca",),
}


@pytest.mark.parametrize("parameter", TEXT_FOR_SEQUENCE)
def test_one_text_is_one_item_of_a_sequence(memory_server: OpStoreServer, parameter: str) -> None:
    client = InProcessClient(memory_server)
    client.push("forest", b"trees")
    client.push("pca", b"bytes", valid_for="forest@1.0.0")
    client.register_pipeline("churn", ["pca", "forest"])
    assert TEXT_FOR_SEQUENCE[parameter](client)
    letters = {op.name for op in client.ops()} - {"pca", "forest", "new"}
    assert letters == set()


def test_a_time_may_be_a_datetime_and_a_position_a_number(memory_server: OpStoreServer) -> None:
    client = InProcessClient(memory_server)
    first = client.push("pca", b"one")
    client.push("pca", b"two")
    then = first.registered_at
    for as_of in (then, then.astimezone(timezone(timedelta(hours=5))), then.astimezone().replace(tzinfo=None)):
        assert client.show("pca", as_of=as_of).version == "1.0.0"
    assert client.show("pca", as_of=first.position).version == "1.0.0"
    assert client.show("pca", as_of=datetime.now(UTC) + timedelta(days=1)).version == "1.0.1"
    assert client.show("pca", as_of=date.today() + timedelta(days=2)).version == "1.0.1"  # noqa: DTZ011
    with pytest.raises(errors.OpNotFound, match=r"^there was no op pca at \S+ \S+Z \(2 days ago\)\n"):
        client.show("pca", as_of="2 days ago")
    with pytest.raises(errors.InvalidRequest, match="'someday' is not a position of the journal, a time"):
        client.show("pca", as_of="someday")
    with pytest.raises(errors.InvalidRequest, match=rf"position 1{'0' * 29}\.\.\. does not exist"):
        client.show("pca", as_of=10**40)


class Name(StrEnum):
    """Names of a program that uses the client."""

    PCA = "pca"
    NOTE = "a note"


def test_texts_flags_and_numbers_of_numpy_and_enums_are_taken(memory_server: OpStoreServer) -> None:
    client = InProcessClient(memory_server)
    first = client.push(Name.PCA, b"one", message=Name.NOTE, new=np.True_)  # type: ignore[arg-type]
    assert first.message == "a note"
    second = client.push(np.str_("pca"), b"two", message=np.str_("text"), labels={np.str_("k"): np.str_("v")})
    assert (second.op, second.message, second.labels) == ("pca", "text", {"k": "v"})
    assert len(client.versions("pca", limit=np.int64(1)).versions) == 1  # type: ignore[arg-type]
    assert client.show("pca", as_of=np.int64(first.position)).version == "1.0.0"  # type: ignore[arg-type]
    client.push("forest", b"a forest", new=0)  # type: ignore[arg-type]
    client.link("pca", "forest@any", evidence=np.str_("run 17"))
    assert client.wait("pca", "forest", seconds=np.float64(1)).verdict == "valid"
    client.register_pipeline("churn", np.array(["pca", "forest"]))  # type: ignore[arg-type]
    for seconds in (math.inf, 1e9, 0.2, np.float64(1)):
        assert client.resolve("churn", timeout=seconds).verdict == "valid"
    with pytest.raises(errors.InvalidArgument, match=r"^timeout must be above 0 seconds, not -1$"):
        client.resolve("churn", timeout=-1)


def test_subversions_may_be_an_object_with_them(memory_server: OpStoreServer) -> None:
    client = InProcessClient(memory_server)
    declared = SimpleNamespace(major="aaaa", minor="bbbb", patch="cccc")
    assert client.register("pca", subversions=declared).subversions == "aaaa.bbbb.cccc"  # type: ignore[arg-type]
    with pytest.raises(errors.InvalidSubversions):
        client.register("pca", subversions=SimpleNamespace(major=1, minor=0, patch=0))  # type: ignore[arg-type]


def test_the_verbs_of_chariots_name_a_wrong_argument_too(client: OpStoreClient) -> None:
    with pytest.raises(errors.InvalidArgument, match="op_bytes must be bytes, not str"):
        client.save_op_bytes("pca", "aaaa.bbbb.cccc", "text")  # type: ignore[arg-type]
    with pytest.raises(errors.InvalidArgument, match="pipeline must be a pipeline with the method get_all_op_links"):
        client.register_new_pipeline(5)  # type: ignore[arg-type]
    for links in (["ab"], [("a", "b", "c")]):
        broken = SimpleNamespace(name="churn", get_all_op_links=lambda links=links: links)
        with pytest.raises(errors.InvalidArgument, match="a pipeline whose get_all_op_links returns pairs"):
            client.register_new_pipeline(broken)
    for wrong in (lambda: client.pipeline_exists(5), lambda: client.get_all_versions_of_op(None)):  # type: ignore[arg-type]
        with pytest.raises(errors.InvalidRequest, match="is not a name"):
            wrong()


def test_a_memoryview_with_gaps_is_pushed_as_its_bytes(memory_server: OpStoreServer) -> None:
    client = InProcessClient(memory_server)
    every_second: Any = memoryview(b"abcd")[::2]
    client.push("pca", every_second)
    assert client.pull("pca") == b"ac"
