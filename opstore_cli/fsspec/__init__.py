"""The store as a file system of fsspec: `opstore://NAME@SELECTOR[/PATH_IN_FOLDER]`."""

from opstore_cli.fsspec.file_system import OpStoreFileSystem
from opstore_cli.fsspec.reading import Access, observers

__all__ = ["Access", "OpStoreFileSystem", "observers"]
