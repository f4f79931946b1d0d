"""Maintenance on a disk that is full or read-only, beside a daemon that runs, was stopped or was killed."""

import random
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from opstore_cli import OpStoreClient
from opstore_cli.config.settings import Settings
from opstore_daemon.protocol import errors, routes
from opstore_daemon.protocol.digests import digest_of
from tests.support.daemon import Daemon, environment, killed_at_the_end, run
from tests.support.damaged_blobs import path_of
from tests.support.machines import PROGRAM
from tests.support.small_disk import MIB, MountedDisk, mounted
from tests.support.waiting import WITHIN

FULL = errors.StorageFull.exit_code
STATES = ["running", "stopped", "killed"]


class Scene:
    """A store with three versions on a small disk, a backup of it elsewhere, and its daemon."""

    def __init__(self, folder: Path, disk: MountedDisk, started: list[Daemon]) -> None:
        self.folder, self.disk, self._started = folder, disk, started
        self.home, self.elsewhere = disk.inner / "home", folder / "elsewhere"
        self.elsewhere.mkdir()
        self.data = {f"1.0.{number}": random.Random(number).randbytes(2 * MIB) for number in range(3)}
        self.start()
        for data in self.data.values():
            self.daemon.push("pca", data)
        self.run(0, "backup", self.elsewhere / "early")

    @property
    def daemon(self) -> Daemon:
        return self._started[-1]

    def start(self) -> None:
        """Start the daemon."""
        self._started.append(Daemon.start(self.home, enter=self.disk.enter))
        self.daemon.home = self.disk.outer / "home"

    def end(self, state: str) -> None:
        """Bring the daemon into the state."""
        {"running": lambda: None, "stopped": self.daemon.stop, "killed": self.daemon.kill}[state]()

    def run(self, code: int, *words: object, home: Path | None = None) -> str:
        """Run a command of the daemon's program that ends with the exit code; return what it says."""
        done = run(home or self.home, *map(str, words), enter=self.disk.enter)
        assert (done.returncode, "Traceback" in done.stderr) == (code, False), (words, done.stderr)
        return done.stdout + done.stderr

    @contextmanager
    def client(self) -> Iterator[OpStoreClient]:
        """Yield a client of the daemon."""
        settings = Settings(home=self.folder / "client").with_url(self.daemon.url)
        with OpStoreClient(settings=settings, token=self.daemon.token) as client:
            yield client

    def make_read_only(self) -> None:
        """Refuse to open files on the disk for writing, and to create or rename any."""
        path = str(self.disk.inner)
        commands = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0"'
        subprocess.run([*self.disk.enter, "sh", "-c", commands, path], check=True)

    def backup_can_be_made_checked_and_restored_elsewhere(self) -> None:
        """Check that a backup to another disk is complete, whatever the disk of the store is like."""
        self.run(0, "backup", self.elsewhere / "early")
        self.run(0, "backup", self.elsewhere / "late")
        self.run(0, "backup", "--check", self.elsewhere / "late")
        (self.elsewhere / "restored").mkdir(mode=0o700)
        self.run(0, "restore", self.elsewhere / "late", home=self.elsewhere / "restored")


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """Return the scene, on a disk of 40 MiB."""
    (tmp_path / "disk").mkdir()
    with mounted(tmp_path / "disk", 40 * MIB) as disk, killed_at_the_end() as started:
        yield Scene(tmp_path, disk, started)


@pytest.mark.slow
@pytest.mark.parametrize("state", STATES)
def test_on_a_full_disk_backups_can_be_made_elsewhere_and_space_be_freed(scene: Scene, state: str) -> None:
    scene.end(state)
    scene.disk.fill()
    scene.backup_can_be_made_checked_and_restored_elsewhere()
    assert "No space left on device" in scene.run(FULL, "backup", scene.disk.inner / "backup")
    new = scene.disk.inner / "new"
    assert "No space left on device" in scene.run(FULL, "restore", scene.elsewhere / "early", home=new)
    if state != "running":
        scene.start()
    with scene.client() as client:
        assert client.fsck(read_data=True).clean
        assert [str(each) for each in client.remove("pca@1.0.0")] == ["pca@1.0.0"]
        collected = client.collect_garbage(grace=0, purge=True)
        assert (collected.problems, collected.freed) == ((), 2 * MIB)
        assert client.pull("pca@1.0.1") == scene.data["1.0.1"]
    scene.disk.empty()
    scene.run(0, "restore", scene.elsewhere / "early", home=new)
    scene.run(0, "backup", scene.disk.inner / "backup")
    scene.run(0, "backup", "--check", scene.disk.inner / "backup")


@pytest.mark.slow
@pytest.mark.parametrize("state", STATES)
def test_on_a_read_only_disk_backups_can_be_made_elsewhere_and_nothing_changes(scene: Scene, state: str) -> None:
    scene.end(state)
    scene.make_read_only()
    scene.backup_can_be_made_checked_and_restored_elsewhere()
    new = scene.disk.inner / "new"
    for words, home in (
        (["backup", scene.disk.inner / "backup"], scene.home),
        (["restore", scene.elsewhere / "early"], new),
        (["db", "upgrade"], scene.home),
        (["serve"], scene.home),
    ):
        if state == "running" and words[0] in ("db", "serve"):
            continue  # another daemon is running
        assert "Read-only file system" in scene.run(errors.StorageFailed.exit_code, *words, home=home)
    assert sorted(path.name for path in scene.disk.outer.iterdir()) == ["home"]


@pytest.mark.slow
def test_a_daemon_whose_disk_became_read_only_checks_and_reads(scene: Scene) -> None:
    damaged = path_of(scene.daemon.home / "blobs", digest_of(scene.data["1.0.0"]))
    damaged.chmod(0o600)
    damaged.write_bytes(b"damaged")
    with scene.client() as client:
        client.remove("pca@1.0.1")
        scene.make_read_only()
        report = client.fsck(read_data=True)
        assert [finding.kind for finding in report] == ["size"]
        assert client.collect_garbage(grace=0, dry_run=True).garbage_size == 2 * MIB
        refusals: list[Callable[[], Any]] = [
            lambda: client.collect_garbage(grace=0),
            lambda: client.push("pca", b"more"),
        ]
        for refused in refusals:
            with pytest.raises(errors.StorageFailed, match="Read-only file system"):
                refused()
        assert client.pull("pca@1.0.2") == scene.data["1.0.2"]
        repaired = client.fsck(read_data=True, repair=True)
        assert not repaired.clean
        assert damaged.read_bytes() == b"damaged"
    assert scene.daemon.ask("GET", routes.HEALTH)[0] == 200


# The exit codes on a full and on a read-only disk; without a daemon, a command starts one.
COMMANDS = {
    "fsck --read-data": (0, 0),
    "remove pca@1.0.0 --dry-run": (0, 0),
    "remove pca@1.0.0": (0, None),  # a daemon that has its database open may still write it
    "gc --grace 0s --purge": (0, 9),
    "gc --dry-run": (0, 0),
    "fsck --repair": (0, 0),
}


@pytest.mark.slow
@pytest.mark.parametrize("state", ["running", "stopped"])
@pytest.mark.parametrize("disk_is", ["full", "read-only"])
def test_the_commands_exit_0_or_9_and_say_why(scene: Scene, disk_is: str, state: str) -> None:
    scene.end(state)
    scene.disk.fill() if disk_is == "full" else scene.make_read_only()
    (scene.folder / "user").mkdir()
    environ = environment(scene.home, HOME=str(scene.folder / "user"))
    for words, codes in COMMANDS.items():
        expected = codes[disk_is != "full"]
        if (disk_is, state) == ("read-only", "stopped"):
            expected = errors.StorageFailed.exit_code
        command = [*scene.disk.enter, *PROGRAM, *words.split()]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=WITHIN)
        assert done.returncode == expected or expected is None, (words, done.stderr)
        assert "Traceback" not in done.stderr
        if done.returncode:
            assert "Read-only file system" in done.stderr, words
