"""Loading runs no code unless the caller allows it; the daemon and the commands never load objects."""

import ast
import io
import json
import os
import pickle
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import cloudpickle
import joblib
import numpy as np
import pytest

from opstore_cli import OpStoreClient
from opstore_cli.config.settings import load_settings
from opstore_daemon import OpStoreServer
from opstore_daemon.http_server.listener import Listener
from opstore_daemon.protocol import errors
from tests.support.figures import few
from tests.support.machines import Machine
from tests.support.models import TREES, forest, pipeline, predictions
from tests.support.servers import ADMIN_TOKEN
from tools import generate

ROOT = Path(__file__).parents[3]
CODE_FORMATS = ["pickle", "cloudpickle", "joblib"]


class Evil:
    """Makes a file where it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.trace),)


def evil(name: str, trace: Path) -> bytes:
    if name == "joblib":
        file = io.BytesIO()
        joblib.dump(Evil(trace), file)
        return file.getvalue()
    return pickle.dumps(Evil(trace)) if name == "pickle" else cloudpickle.dumps(Evil(trace))


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    """What is there once the code ran."""
    return tmp_path / "ran"


@pytest.mark.parametrize("name", CODE_FORMATS)
def test_no_code_runs_unless_the_caller_allows_it(client: OpStoreClient, trace: Path, name: str) -> None:
    client.push("model", evil(name, trace), format=name)
    for options in ({}, {"allow_pickle": False}, {"allow_pickle": None}, {"trusted": ["posix.mkdir"]}):
        with pytest.raises(errors.LoadingRunsCode) as caught:
            client.load("model", **options)
        assert not trace.exists()
    assert caught.value.exit_code == 8
    assert f"model@1.0.0 is a {name} file: loading it can run arbitrary code" in caught.value.text
    for way in ("allow_pickle=True", "OPSTORE_ALLOW_PICKLE=1", "allow_pickle = true", "config.toml"):
        assert way in caught.value.advice
    client.load("model", allow_pickle=True)
    assert trace.exists(), "the trap works"


@pytest.mark.parametrize("pushed", ["bytes", "json", "numpy", "skops"])
@pytest.mark.parametrize("name", CODE_FORMATS)
def test_a_pickle_under_another_name_is_not_unpickled(
    client: OpStoreClient, trace: Path, name: str, pushed: str
) -> None:
    client.push("model", evil(name, trace), format=pushed)
    if pushed == "bytes":
        assert client.load("model", allow_pickle=True) == evil(name, trace)
    else:
        with pytest.raises(errors.NotLoaded):
            client.load("model", allow_pickle=True)
    assert not trace.exists()


def test_a_given_format_overrides_the_recorded_one_also_if_code_would_run(client: OpStoreClient, trace: Path) -> None:
    client.push("model", evil("pickle", trace), format="json")
    with pytest.raises(errors.LoadingRunsCode):
        client.load("model", format="pickle")
    client.push("other", evil("pickle", trace), format="pickle")
    with pytest.raises(errors.NotLoaded):
        client.load("other", format="json")
    assert not trace.exists()


def test_no_array_is_unpickled(client: OpStoreClient, trace: Path, tmp_path: Path) -> None:
    array = np.array([Evil(trace)], dtype=object)
    np.save(tmp_path / "a.npy", array, allow_pickle=True)
    np.savez(tmp_path / "a.npz", a=array)
    for name in ("a.npy", "a.npz"):
        client.push(name, tmp_path / name, format="numpy")
        with pytest.raises(errors.NotLoaded, match="allow_pickle=False"):
            client.load(name, allow_pickle=True)
    assert not trace.exists()


def test_a_skops_file_calls_nothing_that_it_names(client: OpStoreClient, trace: Path) -> None:
    import skops.io

    class Named:
        pass

    data = skops.io.dumps(Named())
    with zipfile.ZipFile(io.BytesIO(data)) as found:
        schema = json.loads(found.read("schema.json"))
    schema["__module__"], schema["__class__"] = "os", "mkdir"
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        made.writestr("schema.json", json.dumps(schema))
    client.push("model", file.getvalue(), format="skops")
    with pytest.raises(errors.UntrustedTypes, match=r"model@1.0.0 holds .*: os\.mkdir"):
        client.load("model", allow_pickle=True)
    assert not trace.exists()


@pytest.mark.slow
def test_types_that_skops_does_not_trust_are_named_and_loaded_once_they_are_trusted(client: OpStoreClient) -> None:
    model = forest()
    client.save("forest", model, format="skops")
    with pytest.raises(errors.UntrustedTypes) as caught:
        client.load("forest")
    assert caught.value.details["types"] == "sklearn.tree._tree.Tree"
    assert caught.value.exit_code == 8
    assert "trusted=[...]" in caught.value.advice
    with pytest.raises(errors.UntrustedTypes):
        client.load("forest", trusted=[])
    with pytest.raises(errors.UntrustedTypes):
        client.load("forest", trusted=["sklearn.tree._tree.Other"], allow_pickle=True)
    from sklearn.tree._tree import Tree

    for trusted in (TREES, ["sklearn.tree._tree.Tree"], [Tree], (Tree,), Tree, "sklearn.tree._tree.Tree"):
        np.testing.assert_array_equal(predictions(client.load("forest", trusted=trusted)), predictions(model))
    client.save("pipeline", pipeline(), format="skops")
    client.load("pipeline")  # has nothing but what skops trusts


# --- the setting ----------------------------------------------------------------------------------------------------


def may(client: OpStoreClient, environ: dict[str, str], folder: Path, **options: Any) -> bool:
    """Whether a client with these settings loads the pickle."""
    settings = load_settings(client.target.url, environ, folder)
    with OpStoreClient(settings=settings, token=client.target.token) as other:
        try:
            assert other.load("model", **options) == {"a": 1}
        except errors.LoadingRunsCode:
            return False
    return True


def test_the_users_own_settings_may_allow_pickles(client: OpStoreClient, tmp_path: Path) -> None:
    client.save("model", {"a": 1}, format="pickle")
    allowed = {"OPSTORE_ALLOW_PICKLE": "1"}
    assert not may(client, {}, tmp_path)
    assert may(client, allowed, tmp_path)
    assert not may(client, allowed, tmp_path, allow_pickle=False)
    own = tmp_path / "XDG_CONFIG_HOME" / "opstore" / "config.toml"
    if sys.platform == "darwin":
        own = tmp_path / "HOME" / "Library" / "Application Support" / "opstore" / "config.toml"
    own.parent.mkdir(parents=True)
    own.write_text("allow_pickle = true\n")
    assert may(client, {}, tmp_path)
    assert not may(client, {"OPSTORE_ALLOW_PICKLE": "0"}, tmp_path)
    assert not may(client, {}, tmp_path, allow_pickle=False)
    own.write_text("allow_pickle = false\n")
    assert not may(client, {}, tmp_path)
    assert may(client, {}, tmp_path, allow_pickle=True)


@pytest.mark.parametrize("name", ["opstore.toml", "pyproject.toml"])
def test_the_working_tree_cannot_allow_pickles(client: OpStoreClient, tmp_path: Path, name: str) -> None:
    client.save("model", {"a": 1}, format="pickle")
    head = "[tool.opstore]\n" if name == "pyproject.toml" else ""
    (tmp_path / name).write_text(f"{head}allow_pickle = true\n")
    with pytest.raises(errors.InvalidSetting, match="unknown key 'allow_pickle'"):
        may(client, {}, tmp_path)


# --- verified first -------------------------------------------------------------------------------------------------


def test_damaged_bytes_are_not_parsed(server: OpStoreServer, listener: Listener, trace: Path, tmp_path: Path) -> None:
    with OpStoreClient(listener.url, token=ADMIN_TOKEN) as client:
        size = len(evil("pickle", trace))
        saved = client.push("model", b"x" * size, format="pickle")
        assert saved.digest is not None
        (blob,) = (path for path in (tmp_path / "blobs").rglob(saved.digest.removeprefix("sha256:")) if path.is_file())
        blob.chmod(0o600)
        blob.write_bytes(evil("pickle", trace))
        with pytest.raises(errors.IntegrityFailure):
            client.load("model", allow_pickle=True)
    assert not trace.exists()


# --- the daemon and the commands ------------------------------------------------------------------------------------

LOADERS = {"pickle", "_pickle", "cloudpickle", "joblib", "skops", "numpy", "sklearn", "dill", "marshal", "shelve"}


def imports(path: Path) -> set[str]:
    """The top-level modules that the file names in an import, wherever it stands; none if no loader is among them."""
    found: set[str] = set()
    source = path.read_text("utf-8")
    if not any(name in source for name in LOADERS):
        return found  # parsing takes milliseconds, and it names none of them
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found.update(name.name.partition(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").partition(".")[0])
    return found


def test_only_the_formats_import_modules_that_load_objects() -> None:
    sources = [*(ROOT / "opstore_cli").rglob("*.py"), *(ROOT / "opstore_daemon").rglob("*.py")]
    assert {path.name for path in sources if imports(path) & LOADERS} == {"pickles.py"}
    # Comparing libraries loads nothing.
    used = re.compile(
        r"opstore_cli\.objects\b(?!(?:\.| import )(?:environment|environment_file|libraries|requirement_file)\b)"
    )
    comparing = [
        ROOT / f"opstore_cli/objects/{name}.py" for name in ("environment", "environment_file", "requirement_file")
    ]
    assert not [path for path in comparing if used.search(path.read_text())]
    loading = {"objects", "sklearn", "fsspec"}  # packages that no command imports for this
    elsewhere = [path for path in sources if path.parent.name not in loading and used.search(path.read_text())]
    assert {path.relative_to(ROOT).as_posix() for path in elsewhere} == {
        "opstore_cli/__init__.py",
        "opstore_cli/client/base.py",
        "opstore_cli/client/cached_copies.py",
        "opstore_cli/client/verification.py",
    }


IMPORT_ALL = """
import json, pkgutil, sys
from importlib import import_module
for package in sys.argv[1:]:
    found = import_module(package)
    for module in pkgutil.walk_packages(found.__path__, package + "."):
        if not module.name.endswith(("__main__", ".conformance", "env")) and ".versions." not in module.name:
            import_module(module.name)
print(json.dumps(sorted(sys.modules)))
"""


@pytest.mark.parametrize("package", few(1, ["opstore_daemon.web", "opstore_cli.commands", "opstore_daemon.store"]))
def test_the_daemon_and_every_command_import_nothing_that_loads_objects(package: str) -> None:
    done = subprocess.run([sys.executable, "-c", IMPORT_ALL, package], capture_output=True, text=True, check=True)
    imported = set(json.loads(done.stdout))
    assert package in imported
    assert len([name for name in imported if name.startswith(f"{package}.")]) > 4
    # Others import the standard library's pickle, as SQLAlchemy does, and grandalf, which draws the graph of the page,
    # imports numpy: their imports load nothing.
    allowed = {"pickle", "_pickle", "marshal"} | ({"numpy"} if package == "opstore_daemon.web" else set())
    assert not {name.partition(".")[0] for name in imported} & (LOADERS - allowed)
    assert not [name for name in imported if name.startswith("opstore_cli.objects.") and not name.endswith(".mixin")]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="on Windows there is no daemon")
def test_no_command_and_no_daemon_runs_what_is_stored(machine: Machine, trace: Path) -> None:
    machine.environment["OPSTORE_ALLOW_PICKLE"] = "1"
    content = evil("pickle", trace)
    with machine.client() as client:
        client.push("model", content, format="pickle", libraries={"python": "3.11.7", "scikit-learn": "1.9.1"})
    shown = machine.do("show", "model").splitlines()
    assert "format\tpickle" in shown
    assert {"library\tpython 3.11.7", "library\tscikit-learn 1.9.1"} <= set(shown)
    ran = [
        ("versions", "model"),
        ("ops",),
        ("pull", "model", "-o", "pulled"),
        ("pipeline", "register", "p", "model", "report"),
        ("link", "model@1.0.0", "report@any"),
        ("links",),
        ("validate", "model", "report"),
        ("push", "other", "pulled"),
        ("restart",),
        ("status",),
    ]
    assert {words[0] for words in ran} <= {path.split()[1] for path, _ in generate.every_command() if " " in path}
    for words in ran:
        code, _, err = machine.run(*words)
        assert code in (0, 3), err
    assert (machine.cwd / "pulled").read_bytes() == content
    assert not trace.exists()
