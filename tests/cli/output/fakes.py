"""A session with a fake client, and the records that the client returns."""

from collections.abc import Callable
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from opstore_cli.client.validity import no_resolution
from opstore_cli.config.settings import Settings
from opstore_cli.console.session import Session
from opstore_cli.transfer.output_path import check_path_of
from opstore_daemon.protocol.records import (
    EdgeVerdict,
    LinkRecord,
    OpVersion,
    Pushed,
    Resolution,
    SkippedVersion,
    Validation,
    VersionRecord,
)

THEN = datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)
DIGEST = "sha256:" + "ab" * 32
Triple = tuple[int, str, str]
Opstore = Callable[..., Triple]


def a_version(number: str = "1.0.0", **changes: Any) -> VersionRecord:
    return VersionRecord(**(_version_keys(number) | changes))


def a_push(created: bool) -> Pushed:
    return Pushed(**_version_keys("1.0.0"), created=created)


def _version_keys(number: str) -> dict[str, Any]:
    return {
        "op": "pca",
        "version": number,
        "subversions": "aaaa.bbbb.cccc",
        "sequence": 1,
        "digest": DIGEST,
        "size": 12345,
        "registered_at": THEN,
        "labels": {},
        "position": 7,
    }


def a_link(**changes: Any) -> LinkRecord:
    keys: dict[str, Any] = {
        "upstream": "pca",
        "upstream_version": "1.0.0",
        "downstream": "forest",
        "downstream_version": None,
        "valid": True,
        "state": "valid",
        "evidence": None,
        "position": 3,
        "registered_at": THEN,
    }
    return LinkRecord(**(keys | changes))


def a_validation(verdict: Any, pipeline: str | None = "churn", reason: str = "because") -> Validation:
    basis: Any = {"valid": "link", "invalid": "not-validated", "unknown": "no-links"}[verdict]
    up, down = OpVersion(op="pca", version="1.0.0"), OpVersion(op="forest", version=None)
    edge = EdgeVerdict(upstream=up, downstream=down, verdict=verdict, basis=basis, reason=reason)
    return Validation(verdict=verdict, edges=(edge,), versions=(up, down), pipeline=pipeline)


SKIPPED = (SkippedVersion(op="pca", version="1.1.0", reason="not validated"),)


class FakeClient:
    """Returns or raises the given result of each verb, and records the calls."""

    def __init__(self, results: dict[str, Any]) -> None:
        self.results, self.calls = results, list[tuple[Any, ...]]()

    def __getattr__(self, verb: str) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            self.calls.append((verb, *args, options))
            result = self.results[verb]
            if isinstance(result, Exception):
                raise result
            if isinstance(result, Resolution) and not result:
                raise no_resolution(result)
            return result

        return call


class FakePull:
    """A pull that writes no bytes."""

    def __init__(self, record: VersionRecord) -> None:
        self.record = record

    def to_stream(self, _output: BinaryIO) -> None: ...

    def to_path(self, target: Path, overwrite: bool) -> bool:
        check_path_of(self.record, target, overwrite)
        return True


def a_pull() -> "nullcontext[FakePull]":
    """Return a reusable context manager of a pull."""
    return nullcontext(FakePull(a_version()))


class FakeSession(Session):
    """A session whose client is a fake."""

    fake: FakeClient

    def settings(self) -> Settings:
        return Settings(home=Path("home"))

    def client(self, settings: Settings | None = None) -> Any:
        return self.fake


def a_resolution(verdict: Any, *versions: VersionRecord) -> Resolution:
    return Resolution(
        pipeline="churn",
        verdict=verdict,
        versions=versions,
        edges=(("pca", "forest"),),
        skipped=(),
        conflict=() if versions else a_validation(verdict).edges,
        position=1,
    )
