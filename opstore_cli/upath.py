"""The class of `UPath("opstore://…")`, which universal_pathlib finds by its entry point."""

import fsspec
from upath import UPath

from opstore_cli.fsspec import OpStoreFileSystem

# universal_pathlib asks a file system for the rules of its paths, but only one that fsspec has loaded.
fsspec.register_implementation("opstore", OpStoreFileSystem, clobber=True)


class OpStorePath(UPath):
    """A path in the store. Without this class universal_pathlib uses one of its own, and warns that nobody tests it."""
