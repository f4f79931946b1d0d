"""The output of fsck, and what other commands say of a damaged version."""

import json
from typing import Any

import pytest

from opstore_cli.main import main
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.records import (
    Finding,
    FsckPage,
    FsckReport,
    OpVersion,
    Resolution,
    VersionDetails,
    Versions,
)
from tests.cli.output.fakes import DIGEST, FakeSession, Opstore, a_version

DAMAGED = Finding(
    kind="damaged",
    what=DIGEST,
    observed="its bytes do not match its digest",
    advice="push the same bytes again: opstore push pca FILE",
    versions=tuple(OpVersion(op="pca", version=f"1.0.{number}") for number in range(5)),
    versions_count=25,
    marked=True,
)
FOREIGN = Finding(
    kind="foreign",
    what="/srv/opstore/blobs/\x1b[31mnotes",
    observed="a file that is not the store's",
    advice="look at it, and move it away if nothing of yours needs it there",
)
PAGES = (
    FsckPage(check="blobs", findings=(DAMAGED,), blobs=7, bytes_read=10**6, next_cursor="storage"),
    FsckPage(check="storage", findings=(FOREIGN,), garbage=2, garbage_size=5000),
)


class Checking:
    """A client whose check finds the pages."""

    def __init__(self, *pages: FsckPage) -> None:
        self.pages, self.asked = pages, dict[str, Any]()

    def fsck(self, *, notify: Any, **asked: Any) -> FsckReport:
        self.asked = asked
        for page in self.pages:
            notify(page)
        return FsckReport.of(self.pages)


def fsck(capsys: pytest.CaptureFixture[str], *words: str, pages: tuple[FsckPage, ...] = PAGES) -> Any:
    session = FakeSession()
    session.fake = Checking(*pages)  # type: ignore[assignment]
    code = main(["fsck", *words], session)
    return (code, *capsys.readouterr()), session.fake.asked


LINES = (
    f"damaged\t{DIGEST}\tpca@1.0.0, pca@1.0.1, pca@1.0.2, pca@1.0.3, pca@1.0.4\t"
    "its bytes do not match its digest; it is marked as damaged\tpush the same bytes again: opstore push pca FILE\n"
    "foreign\t/srv/opstore/blobs/\\x1b[31mnotes\t\ta file that is not the store's\t"
    "look at it, and move it away if nothing of yours needs it there\n"
)


def test_findings_are_lines_off_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert fsck(capsys)[0] == (1, LINES, "")
    assert fsck(capsys, "-q")[0] == (1, f"{DIGEST}\n/srv/opstore/blobs/\\x1b[31mnotes\n", "")
    assert fsck(capsys, pages=())[0] == (0, "", "")


def test_findings_are_written_as_they_are_found(capsys: pytest.CaptureFixture[str]) -> None:
    class Failing(Checking):
        def fsck(self, **asked: Any) -> FsckReport:
            super().fsck(**asked)
            raise errors.ConnectionLost(url="http://127.0.0.1:1", reason="it was restarted")

    session = FakeSession()
    session.fake = Failing(*PAGES)  # type: ignore[assignment]
    assert main(["fsck"], session) == 7
    assert capsys.readouterr().out == LINES


def test_the_document_has_the_report(capsys: pytest.CaptureFixture[str]) -> None:
    (code, out, err), _ = fsck(capsys, "--json")
    document = json.loads(out)
    assert (code, err) == (1, "")
    assert {"clean", "findings"} <= set(document)
    assert (document["clean"], [finding["kind"] for finding in document["findings"]]) == (False, ["damaged", "foreign"])
    (code, out, _), _ = fsck(capsys, "--json", pages=())
    assert (code, json.loads(out)["clean"], json.loads(out)["findings"]) == (0, True, [])


@pytest.mark.usefixtures("terminal")
def test_findings_are_a_table_on_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    (code, out, err), _ = fsck(capsys)
    assert code == 1
    assert out.splitlines()[0].split() == ["KIND", "WHAT", "VERSIONS"]
    assert "pca@1.0.0, pca@1.0.1, pca@1.0.2 and 22 more" in out
    assert "sha256:abababababab " in out
    assert "what to do: push the same bytes again: opstore push pca FILE" in out
    assert "checked 7 blobs, 1.0 MB of them read" in err
    assert "2 blobs (5.0 kB) are of no version: opstore gc frees them" in err
    (code, out, err), _ = fsck(capsys, pages=())
    assert (code, out) == (0, "")
    assert "clean: there are no findings" in err


def test_options_are_passed_on(capsys: pytest.CaptureFixture[str]) -> None:
    _, asked = fsck(capsys, "--read-data-subset", "1/7", "--rate", "1.5MB/s", "--repair", pages=())
    assert asked == {"read_data": False, "subset": "1/7", "rate": 1_500_000, "repair": True}
    _, asked = fsck(capsys, "--read-data", "--rate", "512KiB", pages=())
    assert asked == {"read_data": True, "subset": None, "rate": 524_288, "repair": False}


WRONG: dict[str, tuple[tuple[str, ...], str]] = {
    "both": (("--read-data", "--read-data-subset", "1/7"), "mutually exclusive"),
    "a rate without reads": (("--rate", "1MB"), "--rate needs --read-data or --read-data-subset"),
    "no rate": (("--read-data", "--rate", "0"), "is not a rate"),
    "another unit": (("--read-data", "--rate", "50 parsecs"), "is not a rate"),
    "no subset": (("--read-data-subset", "8/7"), "is not a subset"),
    "a share": (("--read-data-subset", "10%"), "is not a subset"),
}


@pytest.mark.parametrize("what", WRONG)
def test_wrong_options_are_refused(capsys: pytest.CaptureFixture[str], what: str) -> None:
    words, reason = WRONG[what]
    (code, out, err), _ = fsck(capsys, *words)
    assert (code, out) == (2, "")
    assert reason in err


def test_a_damaged_version_is_shown_as_such(opstore: Opstore) -> None:
    version = a_version(damaged="its bytes do not match its digest")
    found = VersionDetails(version=version, latest_of=("pca",), upstreams=(), downstreams=(), has_more=False)
    code, out, _ = opstore("show", "pca", details=found)
    assert (code, "damaged\tits bytes do not match its digest\n" in out) == (0, True)
    document = json.loads(opstore("show", "--json", "pca", details=found)[1])
    assert document["damaged"] == "its bytes do not match its digest"
    fine = VersionDetails(version=a_version(), latest_of=("pca",), upstreams=(), downstreams=(), has_more=False)
    assert "damaged" not in opstore("show", "pca", details=fine)[1]
    assert "damaged" not in json.loads(opstore("show", "--json", "pca", details=fine)[1])


@pytest.mark.usefixtures("terminal")
def test_versions_marks_a_damaged_version(opstore: Opstore) -> None:
    found = Versions(op="pca", versions=(a_version(damaged="it is gone"), a_version("0.9.0")))
    out = opstore("versions", "pca", versions=found)[1]
    assert "pca@1.0.0 (damaged)" in out
    assert "pca@0.9.0 (damaged)" not in out


def test_resolve_warns_of_a_damaged_version(opstore: Opstore) -> None:
    versions = (a_version(damaged="it is gone"),)
    found = Resolution(pipeline="churn", verdict="valid", versions=versions, edges=(), skipped=(), position=7)
    code, _, err = opstore("resolve", "churn", resolve=found)
    assert (code, err) == (0, "warning: pca@1.0.0 can't be pulled: it is gone, as fsck found\n")
    code, out, err = opstore("resolve", "--json", "churn", resolve=found)
    assert (code, err, json.loads(out)["versions"][0]["damaged"]) == (0, "", "it is gone")
