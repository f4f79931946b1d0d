"""A push does not send bytes that the store has."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from opstore_cli import OpStoreClient
from opstore_cli.transfer.source import Source
from opstore_cli.transfer.upload import Uploader
from opstore_daemon.protocol import digests, errors, samples
from opstore_daemon.protocol.digests import digest_of
from opstore_daemon.protocol.limits import READ_SIZE
from opstore_daemon.protocol.records import Pushed
from tests.cli.folders.trees import make, packed
from tests.support.fake_daemon import FakeDaemon, sample_of_bytes
from tests.support.transfers import BYTES, interrupt_push, source_file, state_files

ASKED = [sample_of_bytes(BYTES), f"intact {sample_of_bytes(BYTES)}", digest_of(BYTES)]


@pytest.mark.parametrize("kind", ["a path", "bytes", "an open file"])
def test_bytes_that_the_store_has_are_not_sent(
    daemon: FakeDaemon, client: OpStoreClient, tmp_path: Path, kind: str
) -> None:
    daemon.versions = [b"another", BYTES]
    moved: list[int] = []
    client.progress = lambda done, _all: moved.append(done)
    path = source_file(tmp_path)
    with path.open("rb") as file:
        sources: dict[str, Path | bytes | BinaryIO] = {"a path": path, "bytes": BYTES, "an open file": file}
        pushed = client.push("pca", sources[kind])
        assert file.tell() == (len(BYTES) if kind == "an open file" else 0), "as if it had been read"
    assert (pushed.version, daemon.asked) == ("2.0.0", ASKED)
    assert moved == [*range(0, len(BYTES), READ_SIZE), len(BYTES)], "progress of the hash"
    assert not any("uploads" in request for request in daemon.log)
    assert not state_files(tmp_path / "home")


def test_a_folder_that_the_store_has_is_not_sent(daemon: FakeDaemon, client: OpStoreClient, tmp_path: Path) -> None:
    folder = make(tmp_path / "folder", {"a": BYTES})
    daemon.versions = [packed(folder)]
    client.push("pca", folder)
    assert (len(daemon.versions), daemon.asked[-1]) == (1, digest_of(packed(folder)))


def test_bytes_with_an_unknown_sample_are_sent_without_a_digest(
    daemon: FakeDaemon, client: OpStoreClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Source, "digest", None)
    daemon.versions = [b"another"]
    client.push("pca", BYTES)
    assert (daemon.asked, daemon.versions) == (ASKED[:1], [b"another", BYTES])


def test_other_bytes_with_the_same_sample_are_sent(daemon: FakeDaemon, client: OpStoreClient) -> None:
    other = bytearray(BYTES)
    other[samples.BLOCK] ^= 1
    assert sample_of_bytes(bytes(other)) == ASKED[0]
    daemon.versions = [bytes(other)]
    client.push("pca", BYTES)
    assert (daemon.asked, daemon.versions) == (ASKED[:2], [bytes(other), BYTES])


def test_bytes_are_sent_if_the_daemon_cannot_verify_its_own(daemon: FakeDaemon, client: OpStoreClient) -> None:
    daemon.versions = [BYTES]
    daemon.faults = [("GET blobs", 0)] * 10
    client.push("pca", BYTES)
    assert (set(daemon.asked), daemon.versions) == (set(ASKED[:2]), [BYTES, BYTES])


def test_bytes_that_were_removed_and_collected_meanwhile_are_sent(
    daemon: FakeDaemon, client: OpStoreClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon.versions = [BYTES]
    really_create = Uploader._create_version

    def create(uploader: Uploader, data: bytes | None = None, **fields: Any) -> Pushed:
        if "upload" not in fields:
            daemon.versions.clear()
        return really_create(uploader, data, **fields)

    monkeypatch.setattr(Uploader, "_create_version", create)
    client.push("pca", BYTES)
    assert (daemon.asked, daemon.versions) == (ASKED, [BYTES])


def test_an_unfinished_upload_is_deleted_if_the_store_got_its_bytes_meanwhile(
    daemon: FakeDaemon, client: OpStoreClient, tmp_path: Path
) -> None:
    path = source_file(tmp_path)
    interrupt_push(daemon, client, path)
    assert [len(state_files(tmp_path / "home")), len(daemon.uploads["u1"])] == [1, 5_000_000]
    daemon.versions = [BYTES]
    assert client.push("pca", path).version == "1.0.0"
    assert (daemon.uploads, state_files(tmp_path / "home")) == ({}, [])


def test_a_file_that_changes_after_it_was_hashed_is_refused(
    daemon: FakeDaemon, client: OpStoreClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = source_file(tmp_path)
    daemon.versions = [BYTES]
    digest = Source.digest

    def changing(source: Source, progress: Callable[[int], None]) -> digests.Digest:
        found = digest(source, progress)
        path.write_bytes(b"other")
        return found

    monkeypatch.setattr(Source, "digest", changing)
    with pytest.raises(errors.FileRefused, match="it changed while it was read"):
        client.push("pca", path)
    assert daemon.asked == ASKED[:2]
