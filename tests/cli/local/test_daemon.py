"""How a command starts the local daemon beside other commands."""

from pathlib import Path

import msgspec
import pytest

from opstore_cli.local import daemon, launcher, lookup
from opstore_cli.local.runtime import LocalDaemon
from opstore_daemon.protocol import errors, restore_marker
from tests.support.homes import held


@pytest.mark.parametrize("stopped", [0, 1, daemon.STARTS])
def test_a_daemon_that_another_command_stops_as_it_starts_is_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stopped: int
) -> None:
    launched: list[Path] = []

    def launch(home: Path, _log: Path) -> str:
        launched.append(home)
        return "http://127.0.0.1:1"

    def find(_home: Path) -> LocalDaemon | None:
        return running if len(launched) > stopped else None

    running = LocalDaemon("http://127.0.0.1:1", 2, 1, "1")
    monkeypatch.setattr(launcher, "launch", launch)
    monkeypatch.setattr(lookup, "find", find)
    if stopped < daemon.STARTS:
        assert daemon.ensure_running(tmp_path).started
        assert len(launched) == stopped + 1
    else:
        with pytest.raises(errors.DaemonDidNotStart, match="has released the home"):
            daemon.ensure_running(tmp_path)
        assert len(launched) == daemon.STARTS


def test_a_restore_that_holds_the_home_is_named_without_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marker = restore_marker.marker_of(Path("/mnt/backup"), ())
    (tmp_path / restore_marker.MARKER).write_bytes(msgspec.json.encode(marker))
    monkeypatch.setattr(lookup, "wait", lambda *_: pytest.fail("it waited"))
    with held(tmp_path), pytest.raises(errors.RestoreUnfinished):
        lookup.find(tmp_path)
