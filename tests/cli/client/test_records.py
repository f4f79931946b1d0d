"""What the client returns, as a person sees it: each record has a short repr, a table for notebooks, and a dict."""

import json
import re
import typing
from collections.abc import Callable, Iterator
from html import unescape
from inspect import getmembers, isfunction, signature
from typing import Any

import msgspec
import pytest

from opstore_cli.client.base import BaseOpStoreClient
from opstore_cli.client.chariots import ChariotsMixin
from opstore_daemon import OpStoreServer
from opstore_daemon.protocol import records
from opstore_daemon.protocol.records import Finding, NewBisection, PickedYanked, UnfinishedUpload
from opstore_daemon.savers import MemorySaver
from tests.support.figures import few
from tests.support.in_process import InProcessClient
from tests.support.new_run import new_run

WHEN = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC"
UPLOAD = {"upload": "abc", "offset": 5_000_000, "size": 9_000_000, "expires_at": "2026-01-02T03:04:05Z"}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcessClient]:
    """A client of a store with something of every kind."""
    server = OpStoreServer(MemorySaver())
    client = InProcessClient(server)
    client.push("forest", b"trees" * 1000)
    client.push("pca", b"one", valid_for="forest@1.0.0", labels={"run": "17"}, tags="best", message="12 components")
    client.push("pca", b"two", bump="major", new=True)
    client.link("pca@2.0.0", "forest@1.0.0", valid=False, evidence="evaluation 3")
    client.register_pipeline("iris", ["pca", "forest"])
    folder = tmp_path_factory.mktemp("folder")
    for name in ("a", "b"):
        (folder / name).write_text(name * 2000)
        client.push("encoder", folder)
    client.register_pipeline("eval", ["encoder"])
    client.record_run("eval", A_RUN)
    yield client
    server.close()


A_RUN = new_run("encoder@1.0.0", edges=(), command=("pytest", "-x"))
FOUND = NewBisection(command=("pytest",), good=8, bad=9, last_good=8, first_bad=9)

# Each record that a verb returns, and its repr.
FINDING = {"kind": "missing", "what": "sha256:7692", "observed": "it is not there", "advice": "push its bytes again"}

SHOWN: dict[str, tuple[Callable[[InProcessClient], Any], str]] = {
    "Pushed": (
        lambda client: client.push("pca", b"two"),
        "pca@2.0.0, sha256:3fc4ccfe, 3 B, created False",
    ),
    "VersionRecord": (
        lambda client: client.show("pca@1.0.0"),
        "pca@1.0.0, sha256:7692c3ad, 3 B, labels run=17, tags best",
    ),
    "VersionDetails": (
        lambda client: client.details("forest"),
        "forest@1.0.0, sha256:8f57c959, 5.0 kB, latest of forest forest@1 forest@1.0, 1 upstream (invalid)",
    ),
    "Versions": (lambda client: client.versions("pca"), "pca, 2 versions"),
    "SkippedVersion": (
        lambda client: client.resolve("iris").skipped[0],
        "pca@2.0.0, pca 2.0.0 is known not to be valid for forest 1.0.0",
    ),
    "JournalEntry": (
        lambda client: client.log(limit=6)[-1],
        f"6: pca@2.0.0 invalid for forest@1.0.0, evaluation 3, {WHEN}",
    ),
    "Difference": (
        lambda client: client.diff("encoder@1.0.0", "encoder@1.0.1"),
        "encoder@1.0.0 and encoder@1.0.1, 5 fields, 1 file",
    ),
    "ComparedField": (lambda client: client.diff("pca@1.0.0", "pca@2.0.0").fields[0], "version: 1.0.0 and 2.0.0"),
    "FileDifference": (lambda client: client.diff("encoder@1.0.0", "encoder@1.0.1").files[0], "added b"),  # type: ignore[index]
    "OpRecord": (lambda client: client.op("pca"), "pca, latest 2.0.0, 2 versions, exact"),
    "LinkRecord": (lambda client: client.links()[0], "pca@2.0.0 -> forest@1.0.0: invalid, evaluation 3"),
    "Validation": (lambda client: client.validate_pipeline("iris"), "iris, invalid, 0 of 1 edge valid"),
    "EdgeVerdict": (
        lambda client: client.validate("pca", "forest")[0],
        "pca@2.0.0 -> forest@1.0.0, invalid, known-invalid, pca 2.0.0 is known not to be valid for forest 1.0.0",
    ),
    "OpVersion": (lambda client: client.validate("pca", "forest").versions[0], "pca@2.0.0"),
    "Resolution": (lambda client: client.resolve("iris"), "iris, valid, pca@1.0.0 forest@1.0.0, 1 skipped"),
    "Check": (lambda client: client.check_lock("iris", client.resolve("iris").lock()), "iris, holds"),
    "Affected": (lambda client: client.affected("pca"), "pca@2.0.0, 1 affected"),
    "AffectedOp": (
        lambda client: client.affected("pca")[0],
        "forest@1.0.0, invalid, known-invalid, pca 2.0.0 is known not to be valid for forest 1.0.0",
    ),
    "PipelineRecord": (lambda client: client.pipeline("iris"), "iris, pca->forest"),
    "SetVerdict": (
        lambda client: client.validate_pipeline("iris", exact_set=True).exact_set,
        "unknown, not-run, no run says whether exactly these versions work together",
    ),
    "RunRecord": (lambda client: client.runs("eval")[-1], "11: pytest -x passed, exit code 0"),
    "RecordedRun": (lambda client: client.record_run("eval", A_RUN), r"\d+: pytest -x passed, exit code 0, 0 links"),
    "SetHistory": (lambda client: client.set_history("eval", since=7, until=11), "eval, 7 to 11, 2 changes"),
    "SetChange": (lambda client: client.set_history("eval")[-1], "9: encoder stored, latest 1.0.1"),
    "BisectionRecord": (
        lambda client: client.record_bisection("eval", FOUND),
        "eval, broken by encoder 1.0.1, position 9",
    ),
    "Bisection": (
        lambda client: client.bisect("eval", lambda _: False, good=client.show("encoder@1.0.0").position),
        r"eval, broken by encoder 1.0.1, position 9",
    ),
    "TagRecord": (lambda client: client.tags("pca")[0], "pca@best: pca@1.0.0"),
    "Status": (lambda client: client.status(), r"\d+\.\d+\.\d+, pid \d+, 3 ops, 5 versions"),
    "Invitation": (lambda client: client.invite(), "60 seconds"),
    "PickedYanked": (lambda client: PickedYanked(op="pca", version="1.0.0", reason="leaks"), "pca@1.0.0, leaks"),
    "UnfinishedUpload": (
        lambda client: msgspec.convert(UPLOAD, UnfinishedUpload),
        "upload abc, offset 5000000, 9.0 MB, expires_at 2026-01-02 03:04:05 UTC",
    ),
    "Removal": (
        lambda client: client.remove("pca@1.0.0", force=True, dry_run=True),
        "pca@1.0.0, 3 broken, 3 B freeable",
    ),
    "Need": (
        lambda client: client.remove("pca@1.0.0", force=True, dry_run=True).broken[0],
        "pca@1.0.0 is valid for forest@1.0.0",
    ),
    "Collection": (lambda client: client.collect_garbage(dry_run=True), "would free 0 B"),
    "FsckReport": (
        lambda client: msgspec.structs.replace(
            client.fsck(), clean=False, findings=(msgspec.convert(FINDING, Finding),)
        ),
        "not clean, 1 finding",
    ),
    "Finding": (lambda client: msgspec.convert(FINDING, Finding), "missing, sha256:7692: it is not there"),
    "Lock": (lambda client: client.resolve("iris").lock(), "of 2 versions: pca forest"),
    "LockedVersion": (lambda client: client.resolve("iris").lock().versions[0], "pca, sha256:7692c3ad, 3 B"),
}


def kinds_in(annotation: Any) -> Iterator[type]:
    """Yield the records in a type, and those in their fields."""
    if isinstance(annotation, type) and issubclass(annotation, records.Record | records.Request):
        yield annotation
        for field in typing.get_type_hints(annotation).values():
            yield from kinds_in(field)
    for inner in typing.get_args(annotation):
        yield from kinds_in(inner)


def test_every_record_that_a_verb_returns_is_here() -> None:
    verbs = [
        method
        for name, method in getmembers(BaseOpStoreClient, isfunction)
        if name not in vars(ChariotsMixin) and name[0] != "_"
    ]
    returned = {kind for verb in verbs for kind in kinds_in(signature(verb).return_annotation)}
    assert {kind.__name__ for kind in returned} | {"Lock", "LockedVersion"} == set(SHOWN)


@pytest.mark.parametrize("name", few(10, SHOWN))
def test_a_record_has_a_short_repr_a_table_and_a_dict(name: str, client: InProcessClient) -> None:
    get, shown = SHOWN[name]
    record = get(client)
    pattern = shown if "\\d" in shown else re.escape(shown)
    assert re.fullmatch(f"<{name} {pattern}>", repr(record))
    html = record._repr_html_()
    assert "<table>" in html
    assert "Record" not in unescape(html), "no repr of a record within a record"
    assert record.to_dict() == json.loads(records.encode(record))


def test_what_opens_a_session_is_not_shown(client: InProcessClient) -> None:
    invitation = client.invite()
    assert invitation.path.startswith("/ui/open/")
    assert "/ui/open/" not in repr(invitation) + invitation._repr_html_()


def test_versions_show_a_verdict_only_if_it_says_why_there_is_none(client: InProcessClient) -> None:
    assert repr(client.versions("pca", valid_for="forest")) == "<Versions pca, 1 version, 1 skipped>"
    assert repr(client.versions("encoder", valid_for="forest")) == "<Versions encoder, unknown, 0 versions, 2 skipped>"
    assert "valid" not in client.versions("pca")._repr_html_().partition("<table>")[0]
