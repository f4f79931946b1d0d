"""The class of `UPath("opstore://…")`, which universal_pathlib finds by its entry point."""

from upath import UPath


class OpStorePath(UPath):
    """A path in the store. Without this class universal_pathlib uses one of its own, and warns that nobody tests it."""
