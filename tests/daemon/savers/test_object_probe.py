"""The probe of a bucket finds what an object store does not do, says what follows, and leaves nothing behind."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from opstore_daemon.protocol import errors
from opstore_daemon.savers import probing
from opstore_daemon.savers.object_store.client import Bucket as Requests
from opstore_daemon.savers.object_store.probe import Probe
from tests.daemon.savers.s3 import Storage
from tests.support.figures import few
from tests.support.object_store import Bucket


@pytest.fixture
def storage(bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Storage]:
    for name, value in bucket.environ.items():
        monkeypatch.setenv(name, value)
    storage = Storage(bucket, tmp_path)
    yield storage
    storage.database.close()


def wrong(requests: Requests, now: Callable[[], float] | None = None) -> dict[str, str]:
    """Return what the checks find that is not all right."""
    results = list(Probe(requests) if now is None else Probe(requests, now))
    return {each.check: each.found for each in results if each.advice is not None}


@pytest.mark.slow
def test_a_bucket_that_does_everything_has_no_finding_and_keeps_nothing(storage: Storage) -> None:
    results = list(probing.probe(storage.bucket.url))
    assert [each.check for each in results if each.advice is not None] == []
    assert len(results) == 8
    assert (storage.bucket.list_keys(), storage.unfinished()) == ([], [])


def denied(*_: object, **__: object) -> None:
    raise errors.ObjectStoreFailed(place="s3://models", reason="the credentials do not allow it", advice="allow it")


def ignores_checksums(requests: Requests) -> None:
    put, upload_part = requests.put, requests.upload_part
    requests.put = lambda *a, checksum=None, **k: put(*a, **k)  # type: ignore[method-assign]
    requests.upload_part = lambda *a, checksum=None, **k: upload_part(*a, **k)  # type: ignore[method-assign]


def ignores_conditions(requests: Requests) -> None:
    put = requests.put
    requests.put = lambda *a, only_new=False, **k: put(*a, **k)  # type: ignore[method-assign]


def ignores_deletes(requests: Requests) -> None:
    requests.delete = lambda name: None  # type: ignore[method-assign]


def forgets_parts(requests: Requests) -> None:
    requests.parts = lambda *_: iter(())  # type: ignore[method-assign]


@pytest.mark.parametrize(
    ("breaks", "checks"),
    few(
        1,
        [
            (ignores_checksums, {"bucket checksums", "bucket parts"}),
            (ignores_conditions, {"bucket conditions"}),
            (ignores_deletes, {"bucket delete"}),
            (forgets_parts, {"bucket parts"}),
        ],
    ),
)
def test_what_an_object_store_does_not_do_is_found(
    storage: Storage, breaks: Callable[[Requests], None], checks: set[str]
) -> None:
    requests = storage.saver().bucket
    breaks(requests)
    assert set(wrong(requests)) == checks


@pytest.mark.parametrize(
    ("request_", "check"),
    few(
        2,
        [
            ("listing", "bucket"),
            ("unfinished", "bucket"),
            ("put", "bucket write"),
            ("get", "bucket read"),
            ("head", "bucket read"),
            ("create_multipart", "bucket parts"),
            ("complete", "bucket parts"),
            ("delete", "bucket delete"),
        ],
    ),
)
def test_each_permission_that_is_missing_is_found(storage: Storage, request_: str, check: str) -> None:
    requests = storage.saver().bucket
    setattr(requests, request_, denied)
    found = wrong(requests)
    assert check in found
    assert "the credentials do not allow it" in found[check]


@pytest.mark.parametrize(("by", "words"), few(1, [(-3600, "ahead of"), (3600, "behind")]))
def test_a_clock_that_differs_is_found(storage: Storage, by: int, words: str) -> None:
    found = wrong(storage.saver().bucket, lambda: time.time() + by)
    assert list(found) == ["bucket clock"]
    assert f"seconds {words} that of this machine" in found["bucket clock"]
    assert "3" in found["bucket clock"]


def test_what_can_not_be_examined_is_a_line_too(capsys: pytest.CaptureFixture[str]) -> None:
    probing.print_lines("file:///somewhere")
    assert '"check":"bucket"' in capsys.readouterr().out
