"""A file system on a server in this process, whose client counts the bytes of versions that travel."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import fsspec
import pytest
from upath.registry import register_implementation

from opstore_cli.fsspec import OpStoreFileSystem
from opstore_cli.upath import OpStorePath
from opstore_daemon import OpStoreServer
from tests.support.in_process import InProcessClient

# Kedro configures the logging of the whole process as it is imported, which other tests would see.
with pytest.MonkeyPatch.context() as patch:
    patch.setenv("KEDRO_LOGGING_CONFIG", str(Path(__file__).with_name("kedro_logging.yml")))
    import kedro.framework.project  # noqa: F401


class CountingClient(InProcessClient):
    """Counts the bytes of the versions that it receives, and the requests for them."""

    received = fetched = 0

    def request(self, method: str, path: str, *, headers: Mapping[str, str], **others: Any) -> Any:
        answered = super().request(method, path, headers=headers, **others)
        if path.endswith("/bytes"):
            self.received, self.fetched = self.received + len(answered._body.getvalue()), self.fetched + 1
        return answered


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    """The file system and the class of paths, as the entry points register them, and no instances of other tests."""
    fsspec.register_implementation("opstore", OpStoreFileSystem, clobber=True)
    register_implementation("opstore", OpStorePath, clobber=True)
    yield
    OpStoreFileSystem.clear_instance_cache()


@pytest.fixture
def client(memory_server: OpStoreServer) -> CountingClient:
    return CountingClient(memory_server)


@pytest.fixture
def fs(client: CountingClient) -> OpStoreFileSystem:
    return OpStoreFileSystem(client=client)


@pytest.fixture
def ranges(client: CountingClient) -> OpStoreFileSystem:
    """A file system that reads everything in ranges of bytes."""
    return OpStoreFileSystem(client=client, whole=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with files, folders and links."""
    root = tmp_path / "tokenizer"
    (root / "deep" / "er").mkdir(parents=True)
    (root / "vocab.txt").write_text("a\nb\n")
    (root / "deep" / "merges.bin").write_bytes(b"m" * 3000)
    (root / "deep" / "er" / "n.json").write_text("{}")
    os.symlink("deep/merges.bin", root / "merges")
    os.symlink("deep", root / "folder_link")
    os.symlink("missing", root / "dangling")
    return root
