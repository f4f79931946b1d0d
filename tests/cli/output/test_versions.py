"""The output of push, register, versions and show."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from opstore_cli.main import main
from opstore_daemon.protocol.records import VersionDetails, Versions
from opstore_daemon.protocol.references import Reference
from tests.cli.output.fakes import DIGEST, FakeClient, FakeSession, Opstore, a_push, a_validation, a_version
from tests.support import promised


def test_push_prints_the_reference_and_nothing_else(opstore: Opstore, tmp_path: Path) -> None:
    file = tmp_path / "bytes"
    file.touch()
    assert opstore("push", "pca", str(file), push=a_push(True)) == (0, "pca@1.0.0\n", "")
    said = "nothing new: pca@1.0.0 has these bytes already\n"
    assert opstore("push", "pca", str(file), push=a_push(False)) == (0, "pca@1.0.0\n", said)
    assert opstore("push", "-q", "pca", str(file), push=a_push(False)) == (0, "pca@1.0.0\n", "")


def test_push_with_json_prints_the_version_and_whether_it_was_created(opstore: Opstore, tmp_path: Path) -> None:
    file = tmp_path / "bytes"
    file.touch()
    code, out, _ = opstore("--json", "push", "pca", str(file), push=a_push(False))
    document = json.loads(out)
    assert (code, document["created"], promised.VERSION - set(document)) == (0, False, set())
    assert document["registered_at"] == "2024-05-06T07:08:09Z"


def test_push_passes_all_options_to_the_client(tmp_path: Path) -> None:
    file = tmp_path / "bytes"
    file.touch()
    session = FakeSession()
    session.fake = FakeClient({"push": a_push(True)})
    words = ["--field", "major:a=b=c", "--field", "minor:d=", "--label", "who=me", "-m", "why", "--new"]
    words += ["--valid-for", "forest", "--valid-with", "scaler@1", "--tag", "dev"]
    assert main(["push", "pca", str(file), *words], session) == 0
    options = {
        "new": True,
        "fields": {"major": {"a": "b=c"}, "minor": {"d": ""}},
        "bump": None,
        "subversions": None,
        "valid_for": (Reference.parse("forest"),),
        "valid_with": (Reference.parse("scaler@1"),),
        "labels": {"who": "me"},
        "message": "why",
        "tags": ("dev",),
    }
    [(verb, op, source, given)] = session.fake.calls
    assert (verb, op, source.path, given) == ("push", "pca", file, options)


def test_register_prints_the_reference(opstore: Opstore) -> None:
    words = ("register", "pca", "--subversions", "aaaa.bbbb.cccc")
    assert opstore(*words, register=a_push(True)) == (0, "pca@1.0.0\n", "")
    assert opstore(*words, register=a_push(False)) == (
        0,
        "pca@1.0.0\n",
        "nothing new: pca@1.0.0 is registered already\n",
    )


def test_versions_off_a_terminal_are_tab_separated_lines(opstore: Opstore) -> None:
    registered = a_version("1.0.1", digest=None, size=None, message="two\nlines", tags=("a", "b"))
    found = Versions(op="pca", versions=(registered, a_version()))
    rows = (
        "pca@1.0.1\t2024-05-06T07:08:09Z\t-\t-\ta, b\ttwo\\nlines\n"
        f"pca@1.0.0\t2024-05-06T07:08:09Z\t12345\t{DIGEST}\t-\t-\n"
    )
    assert opstore("versions", "pca", versions=found) == (0, rows, "")
    assert opstore("versions", "pca", "-q", versions=found) == (0, "pca@1.0.1\npca@1.0.0\n", "")


def test_show_prints_one_key_and_value_per_line(opstore: Opstore) -> None:
    version = a_version(labels={"b": "2", "a": "1\t1"}, message="one\ntwo\x1b", note="2019", author="Ana <a@b>")
    found = VersionDetails(
        version=version,
        latest_of=("pca@1", "pca@1.0"),
        upstreams=a_validation("unknown").edges,
        downstreams=a_validation("invalid").edges,
        description="50 components",
    )
    lines = (
        "op\tpca\nversion\t1.0.0\nyanked\tno\nsize\t12345\nregistered_at\t2024-05-06T07:08:09Z\n"
        "author\tAna <a@b>\ntags\t-\n"
        "latest_of\tpca@1, pca@1.0\nmessage\tone\n\ttwo\\x1b\nlabel\ta=1\\t1\nlabel\tb=2\n"
        "upstream\tunknown pca@1.0.0: because\ndownstream\tinvalid forest: because\ndescription\t50 components\n"
        f"note\t2019\nsequence\t1\nposition\t7\nsubversions\taaaa.bbbb.cccc\ndigest\t{DIGEST}\n"
    )
    assert opstore("show", "pca", details=found) == (0, lines, "")
    assert opstore("show", "pca", "-q", details=found) == (0, "pca@1.0.0\n", "")
    document = json.loads(opstore("show", "pca", "--json", details=found)[1])
    assert promised.VERSION - set(document) == set()
    assert (document["latest_of"], document["downstreams"][0]["verdict"]) == (["pca@1", "pca@1.0"], "invalid")


def test_show_of_a_yanked_version_says_why_before_anything_else(opstore: Opstore) -> None:
    version = a_version(yanked=True, yank_reason="wrong columns", digest=None, size=None)
    found = VersionDetails(version=version, latest_of=(), upstreams=(), downstreams=())
    lines = opstore("show", "pca@1.0.0", details=found)[1].splitlines()
    assert lines[:4] == ["op\tpca", "version\t1.0.0", "yanked\tyes", "yank_reason\twrong columns"]


@pytest.mark.usefixtures("terminal")
def test_show_on_a_terminal_begins_with_what_matters(opstore: Opstore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    version = a_version(registered_at=datetime.now(UTC) - timedelta(hours=3, minutes=1))
    found = VersionDetails(version=version, latest_of=("pca",), upstreams=(), downstreams=a_validation("invalid").edges)
    code, out, _ = opstore("show", "pca", details=found)
    names = [line.split()[0] for line in out.splitlines()]
    order = ["op", "version", "yanked", "size", "registered", "author", "tags", "latest", "downstream"]
    assert (code, names[: len(order)], names[-1]) == (0, order, "digest")
    assert "3 h ago (20" in out
    assert "○ invalid forest: because" in out
