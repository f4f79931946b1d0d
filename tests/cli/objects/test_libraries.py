"""The versions of an object's libraries are recorded, and loading it with others warns."""

import pickle
import platform
import subprocess
import sys
import warnings
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from opstore_cli import LibraryWarning, OpStoreClient
from opstore_cli.objects import libraries
from opstore_daemon.protocol import errors
from tests.support.models import CLASSES, FEATURES, MODELS, TEXTS, columns, with_each_format, words

MODEL_FORMATS = {"pickle": [], "cloudpickle": ["cloudpickle"], "joblib": ["joblib"], "skops": ["skops"]}
HERE = {name: metadata.version(name) for name in ("numpy", "scikit-learn", "scipy", "joblib", "cloudpickle", "skops")}
HERE["python"] = platform.python_version()


@pytest.mark.parametrize(("model", "name"), list(with_each_format(MODEL_FORMATS)))
def test_a_model_records_python_its_format_and_the_libraries_of_its_classes(
    client: OpStoreClient, model: str, name: str
) -> None:
    saved = client.save("model", MODELS[model](), format=name)
    wanted = ["python", "numpy", "scikit-learn", *MODEL_FORMATS[name]]
    assert saved.libraries == {library: HERE[library] for library in wanted}
    assert client.show("model").libraries == saved.libraries


@pytest.mark.parametrize("name", MODEL_FORMATS)
def test_libraries_of_nested_objects_are_recorded(client: OpStoreClient, name: str) -> None:
    inside = {"models": [{"vectors": [words().transform(TEXTS)], "model": MODELS["forest"]()}]}
    saved = client.save("model", inside, format=name)
    assert {"scipy", "scikit-learn"} <= set(saved.libraries)


class Ours(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """A class of nobody's distribution that inherits from one of scikit-learn's."""

    def fit(self, _x: Any, _y: Any = None) -> "Ours":
        return self

    def transform(self, x: Any) -> Any:
        return x


@pytest.mark.parametrize("name", MODEL_FORMATS)
def test_libraries_of_base_classes_are_recorded(client: OpStoreClient, name: str) -> None:
    saved = client.save("ours", Ours(), format=name)
    assert saved.libraries == {library: HERE[library] for library in ["python", "scikit-learn", *MODEL_FORMATS[name]]}


@pytest.mark.parametrize("name", MODEL_FORMATS)
def test_libraries_of_functions_are_recorded(client: OpStoreClient, name: str) -> None:
    model = make_pipeline(FunctionTransformer(np.log1p), LogisticRegression()).fit(FEATURES, CLASSES)
    assert {"numpy", "scikit-learn"} <= set(client.save("model", model, format=name).libraries)


def test_libraries_that_a_function_of_a_script_uses_are_recorded(client: OpStoreClient) -> None:
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec("import numpy as np\ndef logarithm(x): return np.log(x)", namespace)  # noqa: S102 - as a script has it
    saved = client.save("function", namespace["logarithm"], format="cloudpickle")
    assert saved.libraries["numpy"] == HERE["numpy"]


def test_plain_data_depends_on_no_version(client: OpStoreClient) -> None:
    assert client.save("bytes", b"a").libraries == {}
    assert client.save("json", {"a": 1}).libraries == {}
    assert client.save("array", np.eye(2)).libraries == {"numpy": HERE["numpy"]}
    assert client.save("set", {1, 2}, format="pickle").libraries == {"python": HERE["python"]}


def test_many_objects_of_a_library_record_it_once() -> None:
    assert set(libraries.versions(["numpy", "numpy.linalg", "os", "json.decoder", "__main__", "nowhere.at.all"])) == {
        "numpy",
        "python",
    }


def test_at_most_as_many_libraries_as_a_record_takes_are_recorded_and_python_is_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(libraries, "_distributions", lambda module: (module,))
    monkeypatch.setattr(libraries, "installed", lambda name: "1")
    found = libraries.versions([f"a{number}" for number in range(100)] + ["python"])
    assert (len(found), next(iter(found))) == (64, "python")


def test_distributions_that_share_a_namespace_are_distinguished(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / "shared" / name).mkdir(parents=True)
        (tmp_path / "shared" / name / "__init__.py").write_text("class Thing: pass\n")
        info = tmp_path / f"shared_{name}-{len(name)}.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: shared-{name}\nVersion: {len(name)}.0\n")
        (info / "RECORD").write_text(f"shared/{name}/__init__.py,,\n{info.name}/METADATA,,\n")
    (tmp_path / "damaged-1.0.dist-info").mkdir()
    (tmp_path / "same_name").mkdir()
    (tmp_path / "same_name-7.dist-info").mkdir()
    (tmp_path / "same_name-7.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: same-name\nVersion: 7\n")
    (tmp_path / "same_name" / "__init__.py").write_text("class Thing: pass\n")
    script = """
import io
from opstore_cli.objects import formats
from shared.one import Thing
import same_name
print(formats.dump(formats.by_name("pickle"), [Thing(), same_name.Thing()], io.BytesIO()))
"""
    environment = {"PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert done.stdout.strip() == str({"python": HERE["python"], "same_name": "7", "shared-one": "3.0"})


# --- loading with others --------------------------------------------------------------------------------------------


def with_libraries(client: OpStoreClient, **changed: str) -> str:
    """A version like one that another machine saved; returns its reference."""
    saved = client.save("model", columns(), format="joblib")
    data = client.pull("model")
    client.push("model", data, format="joblib", new=True, libraries={**saved.libraries, **changed})
    return "model"


def test_the_same_versions_do_not_warn(client: OpStoreClient) -> None:
    reference = with_libraries(client)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        client.load(reference, allow_pickle=True)


def test_other_versions_warn_once_with_what_was_recorded_and_what_is_here(client: OpStoreClient) -> None:
    reference = with_libraries(client, **{"scikit-learn": "0.1", "numpy": "0.2", "a-lost-library": "3.1"})
    with pytest.warns() as caught:
        client.load(reference, allow_pickle=True)
    (warned,) = [each for each in caught if each.category is LibraryWarning]
    assert isinstance(warned.message, LibraryWarning)
    assert str(warned.message) == (
        f"model@1.0.1 was saved with a-lost-library 3.1 (here none), numpy 0.2 (here {HERE['numpy']}), "
        f"scikit-learn 0.1 (here {HERE['scikit-learn']})"
    )
    assert warned.message.reference == "model@1.0.1"
    assert warned.message.differences[0] == ("a-lost-library", "3.1", None, "invalid", "does not have it")
    assert warned.filename == __file__, "it points to the line that loads"
    assert issubclass(LibraryWarning, UserWarning)
    again = pickle.loads(pickle.dumps(warned.message))  # noqa: S301 - ours
    assert (str(again), again.differences) == (str(warned.message), warned.message.differences)


@pytest.mark.parametrize(
    ("version", "warns"),
    [("3.0.0", True), ("2.7", True), ("4.11.7", True), (platform.python_version().rpartition(".")[0] + ".99", False)],
)
def test_of_python_only_the_first_two_numbers_count(client: OpStoreClient, version: str, warns: bool) -> None:
    reference = with_libraries(client, python=version)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        client.load(reference, allow_pickle=True)
    assert [each.category for each in caught] == ([LibraryWarning] if warns else [])


def test_recorded_texts_are_escaped_in_the_warning(client: OpStoreClient) -> None:
    strange = {"\x9b31mred": "\x1b[31m1\n", "": "", "../../etc": "1", "a" * 128: "1"}
    client.push("model", b"[]", format="json", libraries={key: value for key, value in strange.items() if key})
    with pytest.warns(LibraryWarning) as caught:
        assert client.load("model") == []
    said = str(caught[0].message)
    assert said.isprintable()
    assert r"\x9b31mred \x1b[31m1\n (here none)" in said


def test_a_warning_that_is_an_error_keeps_the_object_from_being_loaded(client: OpStoreClient) -> None:
    reference = with_libraries(client, numpy="0.2")
    with warnings.catch_warnings():
        warnings.simplefilter("error", LibraryWarning)
        with pytest.raises(LibraryWarning):
            client.load(reference, allow_pickle=True)


def test_a_missing_class_is_reported_with_the_command_that_lists_the_libraries(
    client: OpStoreClient,
) -> None:
    client.push("model", b"\x80\x05cnowhere_at_all\nThing\n.", format="pickle")
    with pytest.raises(errors.NotLoaded) as caught:
        client.load("model", allow_pickle=True)
    assert "No module named 'nowhere_at_all'" in caught.value.text
    assert caught.value.advice.startswith("opstore show model@1.0.0 ")
