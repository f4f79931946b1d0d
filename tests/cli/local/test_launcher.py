"""What the starter of a daemon makes of the daemon's report."""

from pathlib import Path

import msgspec
import pytest

from opstore_cli.local import launcher
from opstore_daemon.protocol import errors


def url_in(tmp_path: Path, **report: object) -> str:
    return launcher._url_in(msgspec.json.encode(report) + b"\n", tmp_path / "daemon.log")


def test_a_storage_error_of_the_daemon_is_one_of_the_command_that_started_it(tmp_path: Path) -> None:
    with pytest.raises(errors.StorageFull) as full:
        url_in(tmp_path, error="there is no space left: disk full", code="StorageFull", hint="free some space")
    assert full.value.exit_code == 9
    assert full.value.text == "the local daemon did not start: there is no space left: disk full"
    assert full.value.advice == "free some space"


@pytest.mark.parametrize("code", ["", "InvalidSetting", "HomeLocked", "OfALaterRelease"])
def test_any_other_error_of_the_daemon_says_that_it_did_not_start(tmp_path: Path, code: str) -> None:
    with pytest.raises(errors.DaemonDidNotStart, match="did not start: reason"):
        url_in(tmp_path, error="reason", code=code, hint="")


def test_a_daemon_that_listens_has_a_url(tmp_path: Path) -> None:
    assert url_in(tmp_path, url="http://127.0.0.1:1", pid=2) == "http://127.0.0.1:1"
