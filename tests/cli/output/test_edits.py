"""The output of edit, log and lists by label."""

import json

import pytest

from opstore_cli.main import main
from opstore_daemon.protocol.records import JournalEntry, OpVersion, SkippedVersion, Versions
from opstore_daemon.protocol.references import Reference
from tests.cli.output.fakes import DIGEST, THEN, FakeClient, FakeSession, Opstore, a_version


def an_entry(position: int, action: str, *versions: tuple[str, str | None], **more: object) -> JournalEntry:
    about = tuple(OpVersion(op=op, version=version) for op, version in versions)
    return JournalEntry(position=position, registered_at=THEN, action=action, versions=about, **more)  # type: ignore[arg-type]


ENTRIES = [
    an_entry(7, "pipeline registered", pipeline="churn"),
    an_entry(6, "tagged", ("pca", "1.0.0"), ("forest", "1.0.0"), text="prod", author="Ana <ana@example.org>"),
    an_entry(5, "edited", ("pca", "1.0.0"), text="bet\x1bter\nby far", labels={"a": "1", "b": None}),
    an_entry(4, "described", ("pca", None), text="50 components", author="zoe@laptop"),
    an_entry(3, "valid for", ("pca", "1.0.0"), ("forest", None)),
]


def test_edit_prints_what_the_version_has_now(opstore: Opstore) -> None:
    edited = a_version(message="better", labels={"b": "2", "a": "1"})
    line = "pca@1.0.0 has the message 'better' and the labels a=1, b=2\n"
    assert opstore("edit", "pca", "-m", "better", edit=edited) == (0, line, "")
    assert opstore("edit", "pca", "-m", "better", "-q", edit=edited) == (0, "pca@1.0.0\n", "")
    bare = "pca@1.0.0 has no message and no labels\n"
    assert opstore("edit", "pca", "-m", "", edit=a_version()) == (0, bare, "")
    assert json.loads(opstore("edit", "pca", "-m", "", "--json", edit=edited)[1])["message"] == "better"


def test_edit_passes_its_options_to_the_client() -> None:
    session = FakeSession()
    session.fake = FakeClient({"edit": a_version()})
    words = ["edit", "pca@1.0.0", "--label", "a=1=2", "--label", "b=", "--unlabel", "c", "--unlabel", "d"]
    assert main(words, session) == 0
    options = {"message": None, "labels": {"a": "1=2", "b": ""}, "unlabel": ("c", "d")}
    assert session.fake.calls == [("edit", Reference.parse("pca@1.0.0"), options)]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ((), "nothing to change: give -m TEXT, --label KEY=VALUE or --unlabel KEY"),
        (("--label", "a=1", "--unlabel", "a"), "--label and --unlabel both name 'a'"),
        (("--label", "a"), "--label: 'a' is not KEY=VALUE"),
    ],
)
def test_edit_refuses_what_it_does_not_understand(opstore: Opstore, words: tuple[str, ...], reason: str) -> None:
    code, out, err = opstore("edit", "pca", *words)
    assert (code, out, err.splitlines()[0]) == (2, "", f"error: {reason}")


def test_log_off_a_terminal_is_tab_separated(opstore: Opstore) -> None:
    when = "2024-05-06T07:08:09Z"
    rows = (
        f"7\t{when}\t-\tpipeline registered\tchurn\t-\n"
        f"6\t{when}\tAna <ana@example.org>\ttagged\tpca@1.0.0, forest@1.0.0\tprod\n"
        f"5\t{when}\t-\tedited\tpca@1.0.0\tbet\\x1bter\\nby far; a=1, -b\n"
        f"4\t{when}\tzoe@laptop\tdescribed\tpca\t50 components\n"
        f"3\t{when}\t-\tvalid for\tpca@1.0.0 -> forest@any\t-\n"
    )
    assert opstore("log", log=ENTRIES) == (0, rows, "")
    assert opstore("log", "-q", log=ENTRIES) == (0, "7\n6\n5\n4\n3\n", "")
    assert opstore("log", log=[]) == (0, "", "")
    document = json.loads(opstore("log", "--json", log=ENTRIES)[1])
    assert document["entries"][2] == {
        "position": 5,
        "registered_at": when,
        "author": None,
        "action": "edited",
        "versions": [{"op": "pca", "version": "1.0.0"}],
        "pipeline": None,
        "text": "bet\x1bter\nby far",
        "labels": {"a": "1", "b": None},
    }


@pytest.mark.usefixtures("terminal")
def test_log_on_a_terminal_has_references_whole_and_texts_below_them(
    opstore: Opstore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    code, out, err = opstore("log", log=ENTRIES[1:])
    assert (code, err) == (0, "")
    assert out == (
        "POSITION  WHEN        AUTHOR      ACTION     WHAT\n"
        "       6  2024-05-06  Ana         tagged     pca@1.0.0, forest@1.0.0\n"
        "    prod\n"
        "       5  2024-05-06              edited     pca@1.0.0\n"
        "    bet\\x1bter\n"
        "       4  2024-05-06  zoe@laptop  described  pca\n"
        "    50 components\n"
        "       3  2024-05-06              valid for  pca@1.0.0 -> forest@any\n"
    )


def test_log_passes_a_name_and_a_limit_to_the_client() -> None:
    session = FakeSession()
    session.fake = FakeClient({"log": []})
    assert main(["log", "pca", "--limit", "3"], session) == 0
    assert session.fake.calls == [("log", "pca", {"limit": 3})]


class SeveralOps(FakeClient):
    """A client whose versions differ by op."""

    def __getattr__(self, verb: str) -> object:  # type: ignore[override]
        assert verb == "versions"

        def versions(reference: Reference, **options: object) -> Versions:
            self.calls.append((verb, reference, options))
            result: Versions = self.results[reference.op]
            return result

        return versions


def of_several(*words: str, **found: Versions) -> tuple[int, FakeClient]:
    session = FakeSession()
    session.fake = SeveralOps(found)
    return main(["versions", *words], session), session.fake


PCA, FOREST = Versions(op="pca", versions=(a_version(),)), Versions(op="forest", versions=(a_version(op="forest"),))


def test_versions_of_several_ops_are_one_table_and_a_list_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    code, client = of_several("pca", "forest", "pca", "--label", "a=b", "--limit", "2", pca=PCA, forest=FOREST)
    when = f"2024-05-06T07:08:09Z\t12345\t{DIGEST}\t-\t-"
    assert (code, capsys.readouterr()) == (0, (f"pca@1.0.0\t{when}\nforest@1.0.0\t{when}\n", ""))
    options = {"valid_for": (), "label": ("a=b",), "limit": 2, "as_of": None}
    assert client.calls == [("versions", "pca", options), ("versions", "forest", options)]
    assert of_several("pca", "forest", "-q", pca=PCA, forest=FOREST)[0] == 0
    assert capsys.readouterr().out == "pca@1.0.0\nforest@1.0.0\n"
    of_several("pca", "forest", "--json", pca=PCA, forest=FOREST)
    document = json.loads(capsys.readouterr().out)
    assert [(each["op"], len(each["versions"])) for each in document["ops"]] == [("pca", 1), ("forest", 1)]
    of_several("pca", "--json", pca=PCA)
    assert json.loads(capsys.readouterr().out)["op"] == "pca"


@pytest.mark.parametrize(("verdict", "code"), [("invalid", 1), ("unknown", 3)])
def test_versions_of_several_ops_name_each_op_without_a_valid_one(
    capsys: pytest.CaptureFixture[str], verdict: str, code: int
) -> None:
    skipped = (SkippedVersion(op="forest", version="1.0.0", reason="not validated"),)
    none = Versions(op="forest", versions=(), skipped=skipped, verdict=verdict)  # type: ignore[arg-type]
    words = ("pca", "forest", "--valid-for", "report")
    assert of_several(*words, pca=PCA, forest=none)[0] == code
    out, err = capsys.readouterr()
    assert out.startswith("pca@1.0.0\t")
    assert err.splitlines()[0] == "skipped forest@1.0.0: not validated"
    assert err.splitlines()[1].startswith("error: no version of forest ")
    assert of_several(*words, "--json", pca=PCA, forest=none)[0] == code
    out, err = capsys.readouterr()
    assert ([each["verdict"] for each in json.loads(out)["ops"]], err) == (["valid", verdict], "")
