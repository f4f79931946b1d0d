"""Wrong bytes: whether the daemon has no others, or the way to it damaged them, is found out and reported."""

import io
from collections.abc import Callable
from pathlib import Path

import pytest

from opstore_cli import OpStoreClient
from opstore_cli.config.settings import Settings
from opstore_daemon.http_server.listener import Listener
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.digests import Digest, digest_of
from tests.support.fake_daemon import FakeDaemon
from tests.support.figures import few
from tests.support.servers import ADMIN_TOKEN
from tests.support.transfers import BYTES

WAYS: dict[str, Callable[[OpStoreClient, Path], object]] = {
    "bytes": lambda client, _: client.pull("pca"),
    "stream": lambda client, _: client.pull("pca", io.BytesIO()),
    "file": lambda client, folder: client.pull("pca", folder / "out"),
}
ADVICE = "push the same bytes again, if you have them: that repairs the stored ones"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("size", few(1, [1000, 5_000_000]))
def test_a_damaged_blob_is_reported_as_such_and_a_push_repairs_it(
    listener: Listener, tmp_path: Path, way: str, size: int
) -> None:
    data = BYTES[:size]
    settings = Settings(home=tmp_path / "home").with_url(listener.url)
    with OpStoreClient(settings=settings, token=ADMIN_TOKEN) as client:
        digest = Digest.parse(str(client.push("pca", data).digest))
        (path,) = [each for each in tmp_path.rglob(digest.hex) if each.is_file()]
        path.chmod(0o600)
        path.write_bytes(data[:-10] + b"!" + data[-9:])
        with pytest.raises(errors.BlobDamaged) as caught:
            WAYS[way](client, tmp_path)
        assert (caught.value.advice, caught.value.exit_code) == (ADVICE, 6)
        assert not (tmp_path / "out").exists()
        client.push("pca", data)
        assert client.pull("pca") == data


@pytest.mark.parametrize("way", ["bytes", "stream"])
def test_bytes_that_were_damaged_on_the_way_once_are_not_said_to_be_stored_so(
    daemon: FakeDaemon, client: OpStoreClient, tmp_path: Path, way: str
) -> None:
    daemon.versions.append(BYTES)
    daemon.served = BYTES[:-1] + b"!"

    def progress(done: int, _total: int | None) -> None:
        if done == len(BYTES):
            daemon.served = None

    client.progress = progress
    with pytest.raises(errors.DigestMismatch) as caught:
        WAYS[way](client, tmp_path)
    assert caught.value.advice == "run the same command again"


def test_different_wrong_bytes_each_time_are_not_said_to_be_stored_so(
    daemon: FakeDaemon, client: OpStoreClient, tmp_path: Path
) -> None:
    daemon.versions.append(BYTES)
    daemon.served = BYTES[:-1] + b"!"
    wrong = BYTES[:-1] + b"?"

    def progress(done: int, _total: int | None) -> None:
        if done == len(BYTES):
            daemon.served = wrong

    client.progress = progress
    with pytest.raises(errors.DigestMismatch) as caught:
        client.pull("pca", tmp_path / "out")
    assert caught.value.details["actual"] == digest_of(wrong)
