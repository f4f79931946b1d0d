"""`opstore doctor --saver`: what the object store does, tried by the daemon's program."""

import sys
from pathlib import Path

import pytest

from opstore_cli.doctor import Finding, examine
from tests.support.object_store import Bucket
from tests.support.user import User


@pytest.fixture
def environment(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in bucket.environ.items():
        monkeypatch.setenv(name, value)


def found_by(user: User, saver: str) -> list[Finding]:
    return [each for each in examine(user.machine(), saver) if each.check.startswith("bucket")]


@pytest.mark.slow
def test_a_bucket_is_examined_by_the_daemons_program(user: User, bucket: Bucket, environment: None) -> None:
    found = found_by(user, bucket.url)
    assert [each for each in found if not each.ok] == []
    assert len(found) == 8


@pytest.mark.slow
def test_a_bucket_that_does_not_exist_is_a_finding(user: User, environment: None) -> None:
    (found,) = found_by(user, "s3://no-such-bucket/x")
    assert (found.ok, found.advice) == (False, "create it, or give another bucket")


def test_another_saver_is_a_finding(user: User) -> None:
    reason = "--saver: 'file:///tmp' is not s3://BUCKET/PREFIX"
    assert found_by(user, "file:///tmp") == [Finding("bucket", False, reason, "correct --saver")]


def test_a_program_that_fails_is_a_finding(user: User, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\necho no libraries >&2\nexit 3\n")
    program.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(program))
    (found,) = found_by(user, "s3://models/x")
    assert found.found == "it could not be examined: no libraries"
