"""A missing library of a format: the error names the extra that installs it, and other formats work."""

import functools
import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from opstore_cli.objects.format import Format
from opstore_cli.objects.formats import FORMATS

ROOT = Path(__file__).parents[3]
WITH_LIBRARY = [each for each in FORMATS.values() if each.library]

SCRIPT = """
import json, os, sys
from contextlib import closing

sys.path.insert(0, sys.argv[1])
from opstore_daemon import OpStoreServer
from opstore_daemon.protocol import errors
from opstore_daemon.savers import MemorySaver
from tests.support.in_process import InProcessClient


class Blocker:
    def __init__(self, blocked):
        self.blocked = blocked

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.blocked:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def attempt(client, name):
    try:
        client.save(name, {"bytes": b"a", "json": [1], "numpy": {}}.get(name, {"a": 1}), format=name)
    except errors.LibraryMissing as error:
        client.push(name, b"whatever", format=name)
        try:
            client.load(name, allow_pickle=True)
        except errors.LibraryMissing as same:
            assert (same.text, same.advice) == (error.text, error.advice)
            return [error.text, error.advice, error.exit_code]
    assert client.load(name, allow_pickle=True) == {"bytes": b"a", "json": [1], "numpy": {}}.get(name, {"a": 1})


def outcomes(blocked, names):
    sys.meta_path.insert(0, Blocker(blocked))
    with closing(OpStoreServer(MemorySaver())) as server:
        client = InProcessClient(server)
        found = {name: attempt(client, name) for name in names}
        client.save("default", {"a": [1, 2.5]})
        client.save("blob", b"bytes")
        assert (client.load("default"), client.load("blob")) == ({"a": [1, 2.5]}, b"bytes")
    return found


results = []
for blocked, names in json.loads(sys.argv[2]):
    reader, writer = os.pipe()
    child = os.fork()  # each imports from the start, and the server's modules are imported once
    if not child:
        os.close(reader)
        with open(writer, "w") as pipe:
            json.dump(outcomes(blocked, names), pipe)
        os._exit(0)
    os.close(writer)
    with open(reader) as pipe:
        results.append(json.load(pipe))
    os.waitpid(child, 0)
print(json.dumps(results))
"""

Found = dict[str, list[object] | None]


FAST = ("numpy", "all")  # the others import scikit-learn and more


def without(library: str) -> Found:
    """The errors of formats, None without one, if the library of a format can't be imported, or ("all") no library."""
    return _outcomes(library in FAST)[library]


@functools.cache
def _outcomes(is_fast: bool) -> dict[str, Found]:
    others = ["pandas", "pyarrow", "safetensors", "xgboost", "lightgbm", "onnx"]
    cases = {each.name: ([each.library], [each.name, "pickle"]) for each in WITH_LIBRARY}
    cases["all"] = (["numpy", "joblib", "cloudpickle", "skops", "sklearn", "scipy", *others], list(FORMATS))
    cases = {name: case for name, case in cases.items() if (name in FAST) == is_fast}
    arguments = [str(ROOT), json.dumps(list(cases.values()))]
    done = subprocess.run([sys.executable, "-c", SCRIPT, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return dict(zip(cases, json.loads(done.stdout), strict=True))


@pytest.mark.parametrize(
    "each",
    [pytest.param(each, id=each.name, marks=[] if each.name in FAST else pytest.mark.slow) for each in WITH_LIBRARY],
)
def test_a_format_whose_library_is_missing_names_the_extra(each: Format) -> None:
    assert each.library is not None
    found = without(each.name)
    reason = f"the format {each.name} needs the library {each.library}, which can't be imported: "
    missing = found[each.name]
    assert missing is not None
    assert str(missing[0]).startswith(reason + "No module named ")
    assert missing[1:] == [f"pip install 'opstore[{each.extra}]'", 9]
    assert found["pickle"] is None


def test_without_any_of_them_plain_data_and_pickles_are_saved_and_loaded() -> None:
    assert {name for name, missing in without("all").items() if missing is None} == {"bytes", "json", "pickle"}


def test_every_extra_that_an_error_names_installs_the_library_and_objects_installs_all() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    for each in WITH_LIBRARY:
        assert each.library in [requirement.partition(">=")[0] for requirement in extras[each.extra]]
    (everything,) = extras["objects"]
    assert everything == f"opstore[{','.join(sorted(each.extra for each in WITH_LIBRARY))}]"
    assert not {each.library for each in WITH_LIBRARY} & {line.partition(">=")[0] for line in project["dependencies"]}
