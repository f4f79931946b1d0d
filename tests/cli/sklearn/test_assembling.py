"""A pipeline is made of the files or the objects that a function gets from `client.verify`."""

import zipfile
from pathlib import Path
from typing import Any

import pytest

from opstore_cli import OpStoreClient
from opstore_cli.sklearn import assemble_pipeline, save_pipeline
from opstore_daemon.protocol import errors
from tests.cli.sklearn.models import FEATURES, FRAME, TREE, branches, pca_and_forest


def parts_of(client: OpStoreClient, saved: Any, *, objects: bool, trusted: Any = ()) -> dict[str, Any]:
    stored = [version for version in saved if version.digest is not None]
    return {each.op: client.load(each, trusted=trusted) if objects else client.path(each) for each in stored}


@pytest.mark.parametrize("objects", [True, False])
def test_files_and_objects_are_a_pipeline(client: OpStoreClient, objects: bool) -> None:
    fitted = branches()
    selector = "sklearn.compose._column_transformer.make_column_selector"
    parts = parts_of(client, save_pipeline(client, "iris", fitted), objects=objects, trusted=[selector])
    assert (assemble_pipeline(parts).predict_proba(FRAME) == fitted.predict_proba(FRAME)).all()


def test_a_folder_that_was_pulled_is_a_pipeline(client: OpStoreClient, tmp_path: Path) -> None:
    fitted = pca_and_forest()
    save_pipeline(client, "iris", fitted)
    client.pull_lock(client.resolve("iris").lock(), tmp_path)
    (tmp_path / "notes.txt").write_text("something else")
    loaded = assemble_pipeline(tmp_path, trusted=TREE)
    assert (loaded.predict_proba(FEATURES) == fitted.predict_proba(FEATURES)).all()
    (tmp_path / "iris.structure").unlink()
    with pytest.raises(errors.InvalidArgument, match=r"which has no file NAME\.structure"):
        assemble_pipeline(str(tmp_path), trusted=TREE)
    (tmp_path / "iris.forest").unlink()
    with zipfile.ZipFile(tmp_path / "iris.structure", "w") as made:
        made.writestr("schema.json", "{}")
    with pytest.raises(errors.FileRefused, match="skops can't load it"):
        assemble_pipeline(tmp_path)
    with pytest.raises(errors.FileRefused, match="No such file"):
        assemble_pipeline(tmp_path / "none")


def test_types_that_nobody_trusts_are_refused(client: OpStoreClient) -> None:
    fitted = pca_and_forest()
    parts = parts_of(client, save_pipeline(client, "iris", fitted), objects=False)
    with pytest.raises(errors.UntrustedTypes, match=r"iris holds types .*\.Tree \(iris\.forest\)"):
        assemble_pipeline(parts)
    assert (assemble_pipeline(parts, trusted=TREE).predict(FEATURES) == fitted.predict(FEATURES)).all()


def test_anything_else_is_a_wrong_argument(client: OpStoreClient, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"PK\3\4")
    wrong: list[Any] = [
        None,
        {},
        {"a": 1},
        {1: 2},
        {"p.structure": 1},
        {"p.structure": other},
        {"p.structure": {}, "q": 1},
    ]
    for parts in wrong:
        with pytest.raises(
            errors.InvalidArgument, match="parts must be a folder with the skops files of a saved pipeline"
        ):
            assemble_pipeline(parts)
    with pytest.raises(errors.FileRefused, match="No such file"):
        assemble_pipeline({"p.structure": tmp_path / "none"})
