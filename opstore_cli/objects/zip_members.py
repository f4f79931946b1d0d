"""Deterministic members of zip files: without times and properties of the system."""

from zipfile import ZipInfo


def member(name: str, size: int = 0) -> ZipInfo:
    """Return a member of a zip file, dated 1980 (the earliest date). `size` in bytes, if it is known."""
    info = ZipInfo(name)
    info.create_system = 3
    info.external_attr = 0o600 << 16
    info.file_size = size
    return info
