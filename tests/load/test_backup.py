"""Backups while clients push: restored, each has everything that was acknowledged before it began."""

import random
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from opstore_cli import OpStoreClient
from opstore_daemon.protocol import routes
from tests.load.clients import KEPT, OPS
from tests.load.figures import report
from tests.load.sizes import at_sizes, seed
from tests.support import store_files
from tests.support.daemon import Daemon, run
from tests.support.store_files import Contents
from tests.support.waiting import wait_for

pytestmark = pytest.mark.process

CLIENTS = 4
MOMENTS = (0.1, 0.4, 0.7)  # shares of the pushes after which a backup begins, each into the same folder


@dataclass
class Work:
    """What the clients share: the acknowledged pushes (op, number, digest), and how many they shall be."""

    daemon: Daemon
    pushes: int
    acknowledged: list[tuple[str, str, str]] = field(default_factory=list)
    collected: int = 0
    backed_up: bool = False
    failed: bool = False

    def is_done(self) -> bool:
        """Return whether there are enough pushes, and all backups are done."""
        return self.failed or (self.backed_up and len(self.acknowledged) >= self.pushes)

    def wait_for(self, count: int) -> list[tuple[str, str, str]]:
        """Wait for so many acknowledged pushes, unless a client has failed; return them."""
        wait_for(lambda: len(self.acknowledged) >= count or self.failed, "the pushes")
        return list(self.acknowledged)


@pytest.mark.slow
@at_sizes("pushes", 1000, small=10)
def test_a_backup_during_pushes_has_everything_that_was_acknowledged_before_it(
    pushes: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    work_seed = seed()
    print(f"seed {work_seed}")  # noqa: T201 - shown if it fails
    work = Work(Daemon.start(tmp_path / "home"), pushes)
    restored: list[tuple[Path, list[tuple[str, str, str]]]] = []
    try:
        with ThreadPoolExecutor(CLIENTS + 1) as pool:
            jobs = [pool.submit(_push, work, random.Random(work_seed + number)) for number in range(CLIENTS)]
            jobs.append(pool.submit(_collect, work))
            try:
                for moment in MOMENTS:
                    before = work.wait_for(int(moment * pushes))
                    done = run(work.daemon.home, "backup", str(tmp_path / "backup"))
                    assert done.returncode == 0, done.stderr
                    home = tmp_path / f"restored-{len(restored)}"
                    done = run(home, "restore", str(tmp_path / "backup"))
                    assert done.returncode == 0, done.stderr
                    restored.append((home, before))
            finally:
                work.backed_up = True
            for job in jobs:
                job.result()
    finally:
        work.daemon.stop()
    source = store_files.check(work.daemon.home)
    assert len(work.acknowledged) == len(source.versions) >= pushes
    for home, before in restored:
        copy = store_files.check(home)
        assert_is_past_state(copy, source)
        found = {(each.op, each.number, each.digest) for each in copy.versions.values()}
        assert found.issuperset(before)
        goes_on(home, copy)
    counts = ", ".join(f"{len(before)}" for _, before in restored)
    report(
        capsys,
        f"{len(restored)} backups (after {counts} pushes) during {len(work.acknowledged)} pushes and {work.collected}"
        f" deletions, each restored (seed {work_seed})",
    )


def _push(work: Work, chance: random.Random) -> None:
    """Push, and remove a part of it, until there are enough pushes and all backups are done."""
    kept: list[str] = []
    try:
        while not work.is_done():
            op, data = chance.choice(OPS), chance.randbytes(chance.choice((10, 5_000, 100_000)))
            version = work.daemon.push(op, data, new=True, valid_for=["down@any"], new_ops="exact")
            work.acknowledged.append((op, version["version"], version["digest"]))
            kept.append(f"{op}@{version['version']}")
            if len(kept) == KEPT:
                removal = {"references": kept[:2], "force": True}
                status, answer = work.daemon.ask("POST", routes.REMOVALS, removal, Idempotency_Key=uuid.uuid4().hex)
                assert status == 200, answer
                kept.clear()
    except BaseException:
        work.failed = True
        raise


def _collect(work: Work) -> None:
    """Collect garbage without grace, except while a backup holds collectors off."""
    try:
        while not work.is_done():
            status, answer = work.daemon.ask("POST", routes.GARBAGE, {"grace": 0}, Idempotency_Key=uuid.uuid4().hex)
            assert status == 200 or answer["code"] == "CollectionHeld", answer
            work.collected += answer.get("garbage", 0)
    except BaseException:
        work.failed = True
        raise


def assert_is_past_state(copy: Contents, source: Contents) -> None:
    """Check that the copy is the state of the source as of the copy's last position: same numbers and sequences."""
    then = [each for each in source.versions.values() if each.position <= copy.positions]
    removed = {each.id for each in then if each.is_removed}
    # Since the backup, more of them may have been removed.
    assert [replace(each, is_removed=each.id in removed) for each in copy.versions.values()] == then
    assert all(each.id in removed for each in copy.versions.values() if each.is_removed)
    assert copy.links == [link for link in source.links if link[2] <= copy.positions]


def goes_on(home: Path, copy: Contents) -> None:
    """Check that a daemon of the restored home finds no fault, serves its bytes, and continues its sequences."""
    daemon = Daemon.start(home)
    try:
        with OpStoreClient(daemon.url, token=daemon.token) as client:
            assert client.fsck(read_data=True).findings == ()
        op, number = next(key for key, each in copy.versions.items() if not each.is_removed)
        assert daemon.pull(op, number)
        last = max(each.sequence for each in copy.versions.values() if each.op == op)
        assert daemon.push(op, b"after the restore", new=True)["sequence"] == last + 1
    finally:
        assert daemon.stop() == 0
