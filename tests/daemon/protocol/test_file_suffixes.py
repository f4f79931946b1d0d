"""The suffix of a file's name: the one that `push --all` removes, and the one that `pull` appends."""

import pytest

from opstore_daemon.protocol.file_suffixes import safe_suffix, split_suffix

SAFE = {
    None: "",
    "pca": "",
    "pca.joblib": ".joblib",
    "PCA.JOBLIB": ".joblib",
    "pca.tar.gz": ".tar.gz",
    "pca.pkl.ZST": ".pkl.zst",
    "model.v2.bin": ".bin",
    "a.b.c.gz": ".c.gz",
    "pca.gz": ".gz",
    "v1.2.gz": ".gz",
    "archive.7z": ".7z",
    ".env": "",
    ".tar.gz": ".gz",
    "pca.": "",
    "pca..": "",
    "pca.bin.": "",
    # Digits alone would read as a part of the version.
    "pca-1.0.0": "",
    "lib.so.1": "",
    # What a hostile server may send.
    "pca.abcdefghijklmnop": ".abcdefghijklmnop",
    "pca.abcdefghijklmnopq": "",
    "pca.a/b": "",
    "pca.gz/..": "",
    "pca.a b": "",
    "pca.bin\n": "",
    "pca.\u212a": "",
    "pca.\u0130": "",
    "pca.\u0663": "",
    "pca.~": "",
    "pca.$x.gz": ".gz",
    "": "",
}


@pytest.mark.parametrize("filename", SAFE)
def test_a_suffix_is_appended_only_if_it_is_safe_in_a_path(filename: str | None) -> None:
    assert safe_suffix(filename) == SAFE[filename]


@pytest.mark.parametrize("filename", ["pca", "pca.bin", "model.v2.bin", "a.tar.gz", "Zebra.BIN", ".env"])
def test_a_name_is_its_stem_and_its_suffix(filename: str) -> None:
    assert "".join(split_suffix(filename)) == filename
