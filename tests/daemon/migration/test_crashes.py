"""A migration that is interrupted anywhere leaves the source as it is, and the same command completes the target."""

import errno
import gc
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from opstore_daemon.metadata import Migrate, row_copy, unfinished
from opstore_daemon.migration import blobs
from opstore_daemon.migration.rows import RowCopy
from opstore_daemon.migration.target import Target
from opstore_daemon.protocol import errors
from opstore_daemon.savers import FileSaver
from tests.daemon.backup.test_crashes import ALL_OR_SOME, ERRORS, interrupted
from tests.daemon.migration.test_moving import needed
from tests.support.faults import Crash
from tests.support.figures import few
from tests.support.moves import StorePlace

# What the migration does, in this order, and how often it has done so when it is interrupted.
STEPS: dict[str, tuple[Any, str, int]] = {
    "before the schema": (Migrate, "upgrade", 0),
    "before the marker": (unfinished, "write", 0),
    "before the blobs are claimed": (FileSaver, "claim", 0),
    "before the first blob": (blobs, "put_blob", 0),
    "among the blobs": (blobs, "put_blob", 3),
    "before the rows": (row_copy, "put", 0),
    "among the rows": (row_copy, "put", 5),
    "after the last row": (row_copy, "continue_ids", 0),
    "before the rows are verified": (RowCopy, "verify", 0),
    "before the end": (Target, "finish", 0),
    "before the blobs belong to the store": (FileSaver, "claim", 1),
    "before the marker goes": (unfinished, "drop", 0),
}


EARLY = ("before the schema", "before the marker")  # nothing was changed
USUAL = ("before the marker", "among the rows", "before the marker goes")


def failing(call: Callable[..., Any], after: int, failure: BaseException) -> Callable[..., Any]:
    """Return the function, which raises the failure when it was called so often."""
    calls = iter(range(after))

    def wrapped(*args: Any, **options: Any) -> Any:
        if next(calls, None) is None:
            raise failure
        return call(*args, **options)

    return wrapped


@pytest.mark.parametrize(
    "step", [step if step in USUAL else pytest.param(step, marks=pytest.mark.slow) for step in STEPS]
)
def test_a_crash_at_each_step_keeps_daemons_away_until_the_same_command_completes_it(
    source: StorePlace, target: StorePlace, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    rows, data = source.rows(), needed(source)
    where, name, after = STEPS[step]
    with monkeypatch.context() as patch:
        patch.setattr(where, name, failing(getattr(where, name), after, Crash()))
        with pytest.raises(Crash):
            source.move_to(target)
    assert source.rows() == rows
    if step in EARLY:
        assert not any((target.home / "blobs" / "blobs").iterdir())
    else:
        with pytest.raises(errors.MigrationUnfinished) as caught, target.opened():
            pass
        command = f"opstore migrate --to-db {target.db} --to-saver {target.saver}"
        assert caught.value.advice == f"finish it: {command}"
    assert source.plan(target.db, target.saver).resumes == (step not in EARLY)
    moved = source.move_to(target)
    assert (target.rows(), target.blobs()) == (rows, data)
    assert moved.copied + moved.present == len(data)
    assert moved.present == (0 if step in list(STEPS)[:4] else 3 if step == "among the blobs" else len(data))
    with target.opened() as store:
        assert store.fsck(read_data=True).clean


@pytest.mark.slow
@pytest.mark.parametrize("step", ["before the first blob", "among the blobs", "before the end"])
def test_an_unfinished_move_of_the_blobs_alone_keeps_daemons_from_them_only(
    source: StorePlace, target: StorePlace, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    where, name, after = STEPS[step]
    with monkeypatch.context() as patch:
        patch.setattr(where, name, failing(getattr(where, name), after, Crash()))
        with pytest.raises(Crash):
            source.move(None, target.saver)
    new = source.at(saver=target.saver)
    with pytest.raises(errors.MigrationUnfinished) as caught, new.opened():
        pass
    assert caught.value.advice == "finish it: run the same opstore migrate again"
    with source.opened() as store:
        store.push("pca", b"meanwhile")
    source.move(None, target.saver)
    with new.opened() as store:
        assert store.pull("pca") == b"meanwhile"


@pytest.mark.slow
@pytest.mark.parametrize("kind", few(1, ["crash", "failure"]))
@pytest.mark.parametrize("every", ALL_OR_SOME)
def test_a_crash_or_a_failure_of_any_call_is_completed_by_the_same_command(
    source: StorePlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, every: int, kind: str
) -> None:
    rows, data = source.rows(), needed(source)
    monkeypatch.setattr(blobs, "THREADS", 1)  # the order of the calls is the same each time

    def failure(at: int) -> BaseException:
        number = ERRORS[at % len(ERRORS)]
        return Crash() if kind == "crash" else OSError(number, os.strerror(number))

    home = tmp_path / "target"
    place = StorePlace.in_folder(home)
    home.mkdir()
    for _ in interrupted(monkeypatch, every, failure, lambda: source.move_to(place)):
        gc.collect()  # the frames of a crash hold locks
        with suppress(errors.TargetNotEmpty):  # it was complete
            source.move_to(place)
        assert (place.rows(), place.blobs()) == (rows, data)
        shutil.rmtree(home)
        home.mkdir()
    assert source.rows() == rows


@pytest.mark.parametrize("number", few(1, [errno.ENOSPC, errno.EIO]))
def test_a_disk_that_fails_in_the_middle_is_reported_and_what_was_moved_is_kept(
    source: StorePlace, target: StorePlace, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    failure = OSError(number, os.strerror(number))
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", failing(os.pwrite, 12, failure))
        with pytest.raises((errors.StorageFull, errors.StorageFailed)) as caught:
            source.move_to(target)
    assert os.strerror(number).lower() in caught.value.text.lower() or "full" in caught.value.text
    source.move_to(target)
    assert target.rows() == source.rows()


KILLED = """
import os, signal, sys
from importlib import import_module
from opstore_daemon import config
from opstore_daemon.migration.moving import migrate
module, owner, name, after, home, to_db, to_saver = sys.argv[1:]
where = getattr(import_module(module), owner) if owner else import_module(module)
call, calls = getattr(where, name), iter(range(int(after)))
def dies(*args, **options):
    if next(calls, None) is None:
        os.kill(os.getpid(), signal.SIGKILL)
    return call(*args, **options)
setattr(where, name, dies)
migrate(config.load({"OPSTORE_HOME": home}), to_db, to_saver, lambda line: None)
"""
KILLS = few(1, ["among the rows", "among the blobs", "before the rows are verified", "before the marker goes"])


def killed(source: StorePlace, target: StorePlace, where: Any, name: str, after: int) -> None:
    """Move the store in a process that is killed when it calls that function for the last of `after` + 1 times."""
    module, owner = (where.__module__, where.__name__) if isinstance(where, type) else (where.__name__, "")
    words = [module, owner, name, str(after), str(source.home), target.db, target.saver]
    process = subprocess.run([sys.executable, "-P", "-c", KILLED, *words], check=False)
    assert process.returncode == -signal.SIGKILL


@pytest.mark.parametrize("step", KILLS)
def test_a_migration_that_was_killed_is_resumed(source: StorePlace, target: StorePlace, step: str) -> None:
    rows, data = source.rows(), needed(source)
    killed(source, target, *STEPS[step])
    with pytest.raises(errors.MigrationUnfinished), target.opened():
        pass
    source.move_to(target)
    assert (source.rows(), target.rows(), target.blobs()) == (rows, rows, data)
    assert not any((target.home / "blobs" / "staging").iterdir())
