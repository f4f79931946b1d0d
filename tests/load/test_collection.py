"""A collector without grace beside pushes of the same bytes: no push is left without its bytes."""

import random
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from opstore_cli import OpStoreClient
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.digests import Digest, digest_of
from opstore_daemon.protocol.records import NewVersion, Pushed
from opstore_daemon.savers import Draft, FileSaver
from opstore_daemon.server import OpStoreServer
from opstore_daemon.store import Store
from opstore_daemon.store.operations.ingest import LOCAL
from tests.load.figures import report
from tests.load.processes import run_all
from tests.load.sizes import at_sizes, seed
from tests.load.workers import push_and_remove
from tests.support import store_files
from tests.support.daemon import Daemon

PUSHERS = 4
KEPT = 3  # versions that a pusher keeps before it removes them together
PAUSE = 0.01  # seconds at most between the publication of bytes and the transaction of their version
RECENT = 6  # bytes that were removed last: half of the pushes bring some of them back as they are collected


@dataclass
class Work:
    """What the threads share."""

    store: Store
    deletions: int
    collected: int = 0
    pushes: int = 0
    recent: deque[bytes] = field(default_factory=lambda: deque(maxlen=RECENT))
    ended: threading.Event = field(default_factory=threading.Event)

    def collect(self) -> None:
        """Collect once, and empty the trash."""
        self.collected += self.store.collect_garbage(grace=0, purge=True).garbage
        if self.collected >= self.deletions:
            self.ended.set()


@at_sizes("deletions", 10_000, small=30)
def test_no_push_is_without_bytes_beside_a_collector_without_grace(
    deletions: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    work_seed = seed()
    print(f"seed {work_seed}")  # noqa: T201 - shown if it fails
    server = OpStoreServer(_SlowSaver(tmp_path / "blobs"), f"sqlite:///{tmp_path / 'opstore.db'}")
    work = Work(server.store, deletions)
    try:
        with ThreadPoolExecutor(PUSHERS + 1) as pool:
            pushers = [Pusher(work, work_seed * 1000 + number, f"op{number}") for number in range(PUSHERS)]
            jobs = [pool.submit(_until_the_end, work, job) for job in [*(each.turn for each in pushers), work.collect]]
        for job in jobs:
            job.result()
        for pusher in pushers:
            pusher.check()
    finally:
        server.close()
    contents = store_files.read(tmp_path / "opstore.db")
    store_files.check_blobs(contents, tmp_path / "blobs" / "blobs")
    report(capsys, f"{work.collected} deletions beside {work.pushes} pushes (seed {work_seed}): no push without bytes")


@pytest.mark.process
@pytest.mark.slow
@at_sizes("pushes", 1000, small=24)
def test_no_push_of_another_process_is_without_bytes_beside_a_collector_without_grace(
    pushes: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon = Daemon.start(tmp_path / "home")
    collected, ended = 0, threading.Event()

    def collect() -> None:
        nonlocal collected
        with OpStoreClient(daemon.url, token=daemon.token) as client:
            while not ended.is_set():
                collected += client.collect_garbage(grace=0).garbage

    try:
        with ThreadPoolExecutor(1) as pool:
            collector = pool.submit(collect)
            try:
                arguments = [(number, pushes // PUSHERS, daemon.url, daemon.token) for number in range(PUSHERS)]
                done = run_all(push_and_remove, arguments)
            finally:
                ended.set()
            collector.result()
    finally:
        assert daemon.stop() == 0
    store_files.check(tmp_path / "home")
    report(capsys, f"{collected} deletions beside {sum(done)} pushes of {PUSHERS} processes: no push without bytes")


class _SlowSaver(FileSaver):
    """After each publication, the collector has time to take the blob before the push looks for it."""

    def draft(self, upload: str) -> Draft:
        draft = super().draft(upload)
        really_publish = draft.publish

        def publish(digest: Digest) -> None:
            really_publish(digest)
            time.sleep(random.uniform(0, PAUSE))

        draft.publish = publish  # type: ignore[method-assign]
        return draft


def _until_the_end(work: Work, job: Callable[[], None]) -> None:
    """Do the job again and again until all is deleted, or any job fails."""
    try:
        while not work.ended.is_set():
            job()
    finally:
        work.ended.set()


class Pusher:
    """Pushes bytes that others push and remove at the same time, in each of the ways that there are."""

    def __init__(self, work: Work, own_seed: int, op: str) -> None:
        self._work, self._op = work, op
        self._random = random.Random(own_seed)
        self._kept: list[tuple[str, bytes]] = []

    def turn(self) -> None:
        """Push once, check that the bytes are there, and remove what was pushed before."""
        data = self._random.choice([*self._work.recent, b""]) if self._random.random() < 0.5 else b""
        data = data or self._random.randbytes(100)
        way = self._random.choice((self._in_one_request, self._by_upload, self._by_digest))
        pushed = way(data)
        assert self._work.store.pull(f"{self._op}@{pushed.version}") == data
        self._kept.append((pushed.version, data))
        self._work.pushes += 1
        if len(self._kept) == KEPT:
            self.check()
            self._work.store.remove([f"{self._op}@{version}" for version, _ in self._kept], force=True)
            self._work.recent.extend(data for _, data in self._kept)
            self._kept.clear()

    def check(self) -> None:
        """Check that the versions that were not removed have their bytes."""
        for version, data in self._kept:
            assert self._work.store.pull(f"{self._op}@{version}") == data

    def _in_one_request(self, data: bytes) -> Pushed:
        return self._work.store.push(self._op, data, new=True)

    def _by_upload(self, data: bytes) -> Pushed:
        store = self._work.store
        upload = store.create_upload(LOCAL, len(data)).upload
        store.uploads.writer(upload, LOCAL, 0, len(data)).append(data)
        return store.add_version(self._op, NewVersion(new=True, upload=upload, digest=digest_of(data)), LOCAL)

    def _by_digest(self, data: bytes) -> Pushed:
        request = NewVersion(new=True, digest=digest_of(data), size=len(data))
        try:
            return self._work.store.add_version(self._op, request, LOCAL)
        except errors.BlobNotFound:
            return self._by_upload(data)
