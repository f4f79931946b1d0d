"""The suffix of a file's name, which `pull` and the page append to a name that they make."""

import os
import re

# Compression suffixes that follow another suffix: model.joblib.gz, weights.tar.zst.
_COMPRESSED = frozenset([".bz2", ".gz", ".lz4", ".lzma", ".xz", ".zst"])
# Digits alone end a version or a date, such as in pca-1.0.0.
_SUFFIX = re.compile(r"\.(?![0-9]+(?![\s\S]))[A-Za-z0-9]{1,16}(?![\s\S])")


def split_suffix(filename: str) -> tuple[str, str]:
    """Return the name without its suffix, and the suffix; a compression suffix includes the suffix before it."""
    stem, suffix = os.path.splitext(filename)
    if suffix.lower() in _COMPRESSED:
        stem, before = os.path.splitext(stem)
        suffix = before + suffix
    return stem, suffix


def safe_suffix(filename: str | None) -> str:
    """Return the suffix of a name that a server sent, in lower case and safe in a path; empty if it is not safe.

    It is at most two times a dot and 1 to 16 letters and digits, not all of them digits.
    """
    if filename is None:
        return ""
    stem, suffix = os.path.splitext(filename)
    if not _SUFFIX.fullmatch(suffix):
        return ""
    before = os.path.splitext(stem)[1] if suffix.lower() in _COMPRESSED else ""
    return (before + suffix if _SUFFIX.fullmatch(before) else suffix).lower()  # in ASCII, so that no letter changes
