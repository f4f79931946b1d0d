"""Paths: every selector reaches the store as it is written, whoever parses the URL on the way."""

import fsspec
import pytest
from fsspec.core import url_to_fs
from kedro.utils import _parse_filepath
from upath import UPath

from opstore_cli.fsspec import paths
from opstore_daemon.protocol import errors

SELECTORS = [
    "1.0.0", "1", "1.0", "latest", "best", ">=1.2,<2", "~=1.2", "==1.2.*", "!=1.0,>=1", "sha256:0123456789abcdef",
    "0a1b2c3d4e5f", "aaaa.bbbb.cccc_2024-01-01T00:00:00",
]  # fmt: skip


@pytest.mark.parametrize("selector", SELECTORS)
def test_each_selector_survives_fsspec_upath_and_kedro(selector: str) -> None:
    path = f"pca@{selector}"
    options = {"endpoint_url": "http://127.0.0.1:1", "token": "a-token-of-some-length"}
    assert url_to_fs(f"opstore://{path}", **options)[1] == path
    assert url_to_fs(f"opstore:///{path}/deep/file.txt", **options)[1] == f"{path}/deep/file.txt"
    assert fsspec.open(f"opstore://{path}", **options).path == path
    assert UPath(f"opstore://{path}", **options).path == path
    assert (UPath(f"opstore://{path}", **options) / "file.txt").path == f"{path}/file.txt"
    assert paths.strip(_parse_filepath(f"opstore:///{path}")["path"]) == path
    assert str(paths.parse(path)[0].selector).partition("_")[0] == selector.partition("_")[0]


@pytest.mark.parametrize(
    ("written", "path"),
    [
        ("opstore://pca", "pca"),
        ("opstore:///pca", "pca"),
        ("/pca/", "pca"),
        ("pca/pca@1.0.0", "pca@1.0.0"),
        ("opstore://pca/pca@1.0.0/a/b", "pca@1.0.0/a/b"),
        ("pca@latest/pca@1.0.0", "pca@latest/pca@1.0.0"),
        ("pca@1.0.0/pca@1.0.0@x", "pca@1.0.0/pca@1.0.0@x"),
        ("opstore://", ""),
        ("opstore:///", ""),
    ],
)
def test_paths_have_one_form(written: str, path: str) -> None:
    assert paths.strip(written) == path


@pytest.mark.parametrize("path", ["", ".", "pca@", "pca@%3E=1.2", "pca#1", "pca?x=1", "RandomForest", "../etc/passwd"])
def test_other_paths_are_refused_with_the_reason(path: str) -> None:
    with pytest.raises(errors.OpStoreError) as refused:
        paths.parse(path)
    assert isinstance(refused.value, errors.Refused)


def test_a_url_without_an_op_names_the_three_slashes_that_kedro_needs() -> None:
    path = _parse_filepath("opstore://pca@1.0.0")["path"]  # Kedro drops the host
    with pytest.raises(errors.PathRefused, match=r"it names no op; .* write opstore:///NAME"):
        paths.parse(paths.strip(path))


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("forest", ("forest", [])),
        ("forest@latest", ("forest", [])),
        ("forest@best", ("forest", ["best"])),
        ("forest@v2", ("forest", ["v2"])),
    ],
)
def test_a_write_goes_to_an_op_and_may_move_a_tag(path: str, expected: tuple[str, list[str]]) -> None:
    assert paths.parse_target(path) == expected


@pytest.mark.parametrize("selector", ["1.0.0", "1", ">=1,<2", "sha256:01234567", "0a1b2c3d4e", "aaaa.bbbb.cccc", "any"])
def test_a_write_to_a_stored_version_is_refused(selector: str) -> None:
    with pytest.raises(errors.PathRefused, match="a stored version never changes") as refused:
        paths.parse_target(f"forest@{selector}")
    assert "write to opstore://forest" in refused.value.__notes__[0]


@pytest.mark.parametrize("path", ["pca/2024-11-30T10.00.00.000Z/pca", "pca/*/pca"])
def test_a_versioned_dataset_of_kedro_is_refused_by_name(path: str) -> None:
    with pytest.raises(
        errors.PathRefused, match=r"opstore itself keeps the versions.*remove 'versioned: true'"
    ) as refused:
        paths.parse(path)
    assert "opstore:///pca@1.0.0" in refused.value.__notes__[0]
