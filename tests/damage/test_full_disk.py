"""A disk that is full again and again: pushes are refused, reads go on, and a collection brings the space back."""

import random
from contextlib import closing, suppress
from pathlib import Path

import pytest

from opstore_cli import OpStoreClient
from opstore_cli.config.settings import Settings
from opstore_daemon.protocol import errors, routes
from opstore_daemon.system.full_disk import MARGIN, RESERVE
from tests.support.daemon import Daemon
from tests.support.figures import figures
from tests.support.servers import open_server
from tests.support.small_disk import MIB, CountedDisk, MountedDisk, mounted

SLACK = 256 * 1024  # bytes: a file system stores whole pages, and the log of the database grows


def refused(daemon: Daemon, data: bytes, chance: random.Random) -> dict[str, object] | None:
    """Push the bytes as an upload; return the error, None if they are stored."""
    status, upload = daemon.ask("POST", routes.UPLOADS, {"size": len(data) if chance.random() < 0.5 else None})
    if status == 201:
        path = routes.path(routes.UPLOAD, upload=upload["upload"])
        status, answer = daemon.ask("PATCH", path, data, Upload_Offset="0")
        if status == 200:
            body = {"upload": upload["upload"], "new": True}
            status, answer = daemon.ask("POST", "/v1/ops/pca/versions", body)
            if status == 201:
                return None
    else:
        answer = upload
    assert (status, answer["code"]) == (507, "StorageFull")
    return answer


@pytest.mark.slow
@pytest.mark.parametrize("count", figures(20))
def test_space_comes_back_each_time_a_mounted_disk_is_full(tmp_path: Path, count: int) -> None:
    (tmp_path / "disk").mkdir()
    with mounted(tmp_path / "disk", 40 * MIB) as disk:
        daemon = start(disk)
        try:
            fill_and_free(daemon, disk, count)
            assert daemon.stop() == 0
            daemon = start(disk)
            settings = Settings(home=tmp_path / "client").with_url(daemon.url)
            with OpStoreClient(settings=settings, token=daemon.token) as client:
                assert client.fsck(read_data=True).clean
        finally:
            daemon.kill()


def start(disk: MountedDisk) -> Daemon:
    daemon = Daemon.start(disk.inner / "home", enter=disk.enter)
    daemon.home = disk.outer / "home"
    return daemon


def fill_and_free(daemon: Daemon, disk: MountedDisk, count: int) -> None:
    """Fill the disk so many times, and remove half of the versions and collect their bytes in between."""
    chance = random.Random(count)
    stored: dict[str, bytes] = {}
    number = 0
    at_first = disk.free
    for round_ in range(count):
        while True:
            data = chance.randbytes(chance.randrange(1, 3 * MIB))
            if refused(daemon, data, chance):
                break
            number += 1
            stored[f"1.0.{number - 1}"] = data
        assert list((daemon.home / "blobs" / "staging").iterdir()) == []
        if round_ % 2:
            disk.fill()  # not by us, so the margin is gone too
        assert_reads(daemon, stored, chance)
        gone = chance.sample(sorted(stored), len(stored) // 2)
        status, answer = daemon.ask("POST", routes.REMOVALS, {"references": [f"pca@{each}" for each in gone]})
        assert status == 200, answer
        before, size = disk.free, sum(len(stored.pop(each)) for each in gone)
        status, answer = daemon.ask("POST", routes.GARBAGE, {"grace": 0, "purge": True})
        assert (status, answer["problems"], answer["purged_size"]) == (200, [], size), answer
        assert disk.free - before > size - RESERVE - SLACK
        disk.empty()
        assert_reads(daemon, stored, chance)
    free = at_first - sum(map(len, stored.values()))
    assert abs(disk.free - free) < 2 * MIB, "the database has grown, and nothing else"


def assert_reads(daemon: Daemon, stored: dict[str, bytes], chance: random.Random) -> None:
    """Check that versions can be listed, and some be pulled."""
    listed = daemon.ask("GET", "/v1/ops/pca/versions?limit=1000")[1]["versions"]
    assert {each["version"] for each in listed} == set(stored)
    for version in chance.sample(sorted(stored), 3):
        assert daemon.pull("pca", version) == stored[version]


@pytest.mark.parametrize("count", figures(20))
def test_space_comes_back_each_time_a_counted_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    """Everywhere: the free bytes are counted in place of asking the system."""
    chance = random.Random(count)
    stored: dict[str, bytes] = {}
    with closing(open_server(tmp_path)) as server:
        store = server.store
        disk = CountedDisk(monkeypatch, tmp_path / "blobs", MARGIN + 12 * MIB)
        for _ in range(count):
            with suppress(errors.StorageFull):
                while True:
                    data = chance.randbytes(chance.randrange(1, 3 * MIB))
                    stored[store.push("pca", data, new=True).version] = data
            assert list((tmp_path / "blobs" / "staging").iterdir()) == []
            assert disk.free >= MARGIN
            gone = chance.sample(sorted(stored), len(stored) // 2)
            assert store.remove([f"pca@{each}" for each in gone]).freeable == sum(len(stored[each]) for each in gone)
            before, size = disk.free, sum(len(stored.pop(each)) for each in gone)
            collected = store.collect_garbage(grace=0, purge=True)
            assert (collected.problems, collected.purged_size, disk.free - before) == ((), size, size)
            assert {each.version for each in store.versions("pca").versions} == set(stored)
            for version, data in stored.items():
                assert store.pull(f"pca@{version}") == data
    assert disk.capacity - disk.free == sum(map(len, stored.values()))
