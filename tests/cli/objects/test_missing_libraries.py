"""A missing library of a format: the error names the extra that installs it, and other formats work."""

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
import json, sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

BLOCKED = set(sys.argv[1].split(","))
sys.meta_path.insert(0, Blocker())

import pickle
from contextlib import closing
sys.path.insert(0, sys.argv[2])
from opstore_daemon import OpStoreServer
from opstore_daemon.protocol import errors
from opstore_daemon.savers import MemorySaver
from tests.support.in_process import InProcessClient

found = {}
OTHERS = ("parquet", "safetensors", "xgboost", "lightgbm", "onnx")
with closing(OpStoreServer(MemorySaver())) as server:
    client = InProcessClient(server)
    for name in ("bytes", "json", "numpy", "skops", "joblib", "pickle", "cloudpickle", *OTHERS):
        obj = {"bytes": b"a", "json": [1], "numpy": {}}.get(name, {"a": 1})
        try:
            client.save(name, obj, format=name)
        except errors.LibraryMissing as error:
            client.push(name, b"whatever", format=name)
            try:
                client.load(name, allow_pickle=True)
            except errors.LibraryMissing as same:
                assert (same.text, same.advice) == (error.text, error.advice)
                found[name] = [error.text, error.advice, error.exit_code]
        except errors.ObjectRefused:
            assert name in OTHERS  # its library is installed here, and the object is none of its own
        else:
            assert client.load(name, allow_pickle=True) == obj
            found[name] = None
    client.save("default", {"a": [1, 2.5]})
    client.save("blob", b"bytes")
    assert (client.load("default"), client.load("blob")) == ({"a": [1, 2.5]}, b"bytes")
print(json.dumps(found))
"""


def errors_without(*blocked: str) -> dict[str, list[object] | None]:
    """Return the error of each format, None without one, in a process that can't import these libraries."""
    arguments = [",".join(blocked), str(ROOT)]
    done = subprocess.run([sys.executable, "-c", SCRIPT, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, list[object] | None] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("each", WITH_LIBRARY, ids=lambda each: str(each.name))
def test_a_format_whose_library_is_missing_names_the_extra(each: Format) -> None:
    assert each.library is not None
    found = errors_without(each.library)
    reason = f"the format {each.name} needs the library {each.library}, which can't be imported: "
    missing = found[each.name]
    assert missing is not None
    assert str(missing[0]).startswith(reason + "No module named ")
    assert missing[1:] == [f"pip install 'opstore[{each.extra}]'", 9]


def test_without_any_of_them_plain_data_and_pickles_are_saved_and_loaded() -> None:
    others = "pandas", "pyarrow", "safetensors", "xgboost", "lightgbm", "onnx"
    found = errors_without("numpy", "joblib", "cloudpickle", "skops", "sklearn", "scipy", *others)
    assert {name for name, missing in found.items() if missing is None} == {"bytes", "json", "pickle"}


def test_every_extra_that_an_error_names_installs_the_library_and_objects_installs_all() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    for each in WITH_LIBRARY:
        assert each.library in [requirement.partition(">=")[0] for requirement in extras[each.extra]]
    (everything,) = extras["objects"]
    assert everything == f"opstore[{','.join(sorted(each.extra for each in WITH_LIBRARY))}]"
    assert not {each.library for each in WITH_LIBRARY} & {line.partition(">=")[0] for line in project["dependencies"]}
