"""`kill -9` at random moments while six clients push and a collector runs: nothing is lost, and nothing incomplete."""

import random
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from opstore_cli import OpStoreClient
from tests.load.clients import Collector, Pusher, Work
from tests.load.figures import report
from tests.load.sizes import at_sizes, seed
from tests.support import store_files
from tests.support.daemon import Daemon, begin, environment
from tests.support.waiting import wait_for

pytestmark = pytest.mark.process

KILLS = 500
CLIENTS = 6
PUSHES = 4  # at most between two kills, so that a busy machine sees as many
PAUSE = 0.05  # seconds at most after the last of these
DURING_THE_START = 5  # every so many daemons are killed before they are ready


@at_sizes("kills", KILLS, small=5)
def test_nothing_acknowledged_is_lost_and_nothing_is_incomplete_after_kills(
    kills: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home, work_seed = tmp_path / "home", seed()
    print(f"seed {work_seed}")  # noqa: T201 - shown if it fails
    moments = random.Random(work_seed)
    is_real = kills == KILLS  # a new interpreter each time; in `make test` a fork, which is ready sooner
    work = Work(Daemon.start(home), work_seed)
    ready: list[float] = []
    try:
        with _running(work) as failed:
            for number in range(kills):
                if failed():
                    break  # its error is raised at the end of the context
                _wait(work, moments.randint(0, PUSHES), moments.uniform(0.0, PAUSE), failed)
                work.daemon.kill()
                if number % DURING_THE_START == 0:
                    _start_and_kill(home, moments.uniform(0.0, ready[-1] if ready else PAUSE), real=is_real)
                began = time.monotonic()
                work.replace(Daemon.start(home, real=is_real))
                ready.append(time.monotonic() - began)
            wait_for(lambda: work.collected or failed(), "a collection")
    finally:
        work.daemon.kill()
    check(home, work)
    assert work.pushes
    check_clean(home, work)
    report(
        capsys,
        f"{kills} kills (seed {work_seed}): {len(work.pushes)} pushes acknowledged, all there;"
        f" {work.collected} blobs were collected;"
        f" {work.repeated} requests were cut off and repeated, refused meanwhile: {work.refused or 'none'};"
        f" ready again after {statistics.median(ready):.2f} s (median), {max(ready):.2f} s (slowest)",
    )


@contextmanager
def _running(work: Work) -> Iterator[Callable[[], bool]]:
    """Run the clients during the context; yield a function that tells whether one has failed."""
    runs = [*(Pusher(work, number).run for number in range(CLIENTS)), Collector(work, CLIENTS).run]
    with ThreadPoolExecutor(len(runs)) as pool:
        clients: list[Future[Any]] = [pool.submit(run) for run in runs]
        try:
            yield lambda: any(client.done() for client in clients)
        finally:
            work.ended.set()
        for client in clients:
            client.result()


def _wait(work: Work, pushes: int, seconds: float, failed: Callable[[], bool]) -> None:
    """Let the clients make so many pushes, and then work for a moment, unless one has failed."""
    count = len(work.pushes) + pushes
    wait_for(lambda: len(work.pushes) >= count or failed(), "the next pushes")
    time.sleep(seconds)


def _start_and_kill(home: Path, after: float, *, real: bool) -> None:
    """Start a daemon, and kill it while it starts."""
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = begin(home, ["serve"], environment(home), real=real, **quiet)
    time.sleep(after)
    process.kill()
    process.wait()


def check_clean(home: Path, work: Work) -> None:
    """Check that one start and one collection leave nothing but what versions refer to, with nothing done by hand."""
    work.replace(Daemon.start(home))
    try:
        Collector(work, CLIENTS).collect(purge=True)
        with OpStoreClient(work.daemon.url, token=work.daemon.token) as client:
            assert client.fsck(read_data=True).findings == ()
    finally:
        assert work.daemon.stop() == 0
    contents = store_files.check(home)
    kept = [each for each in contents.versions.values() if not each.is_removed]
    needed = {each.digest.removeprefix("sha256:") for each in kept if each.digest}
    assert {path.name for path in (home / "blobs" / "blobs").glob("*/*")} == needed
    assert [*(home / "blobs" / "staging").iterdir(), *(home / "blobs" / "trash").iterdir()] == []


def check(home: Path, work: Work) -> None:
    """Check the files of the daemon: everything acknowledged is there, and nothing is incomplete."""
    contents = store_files.check(home)
    labelled = {id_ for id_, key, _ in contents.labels if key == "by"}
    for version in contents.versions.values():
        assert version.id in labelled
        assert contents.first_link(version) == version.position + 1, "a version without its link"
    linked = {(upstream, downstream) for upstream, downstream, _ in contents.links}
    for push in work.pushes:
        version = contents.versions[push.op, push.number]
        assert version.digest == push.digest
        assert (version.id, push.downstream) in linked
        assert version.is_removed == push.removed
    assert len(contents.versions) == len(work.pushes), "each push was repeated until it was answered: one version each"
