"""The output of remove: tables, documents, what it asks, and what it warns of."""

import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from io import StringIO
from pathlib import Path

import pytest

from opstore_cli.commands import remove
from opstore_cli.main import main
from opstore_daemon import OpStoreServer
from opstore_daemon.protocol.records import Need, OpVersion, Removal
from opstore_daemon.savers import MemorySaver
from tests.cli.output.fakes import FakeSession, Opstore, Triple
from tests.support.in_process import InProcessClient

OLD, NEW = (OpVersion(op="pca", version=number) for number in ("1.0.0", "1.0.1"))
NEEDS = (
    Need(kind="link", version=OLD, what="forest@1.0.0", words="pca@1.0.0 is valid for forest@1.0.0"),
    Need(kind="tag", version=OLD, what="best", words="the tag best is on pca@1.0.0"),
)
TRIED = Removal(removed=(OLD, NEW), ops=("pca",), broken=NEEDS, broken_count=2, freeable=12345, dry_run=True)
DONE = Removal(removed=(NEW,), freeable=12345, position=7)


def test_a_removal_prints_what_it_removed_and_what_that_broke(opstore: Opstore) -> None:
    assert opstore("remove", "pca@1.0.1", remove=DONE) == (0, "pca@1.0.1\t-\n", "12.3 kB are left to opstore gc\n")
    assert opstore("remove", "pca@1.0.1", "-q", remove=DONE) == (0, "pca@1.0.1\n", "")
    document = (
        '{"removed":[{"op":"pca","version":"1.0.1"}],"ops":[],"broken":[],"broken_count":0,"freeable":12345,'
        '"dry_run":false,"position":7}\n'
    )
    assert opstore("remove", "pca@1.0.1", "--json", remove=DONE) == (0, document, "")
    forced = Removal(removed=(OLD,), broken=NEEDS[:1], broken_count=2, position=7)
    line = "pca@1.0.0\tpca@1.0.0 is valid for forest@1.0.0\n"
    note = "only the first 1 of 2 things are shown\n"
    assert opstore("remove", "pca@1.0.0", "--force", remove=forced) == (0, line, note)


def test_a_dry_run_prints_what_would_be_removed(opstore: Opstore) -> None:
    rows = [
        "pca@1.0.0\tpca@1.0.0 is valid for forest@1.0.0",
        "pca@1.0.0\tthe tag best is on pca@1.0.0",
        "pca@1.0.1\t-",
        "pca\t-",
    ]
    lines = "".join(f"{row}\n" for row in rows)
    left = "12.3 kB would be left to opstore gc\n"
    words = ("remove", "pca", "--all-versions", "--dry-run")
    refused = f"without --force, this is refused: something needs it\n{left}"
    assert opstore(*words, remove=TRIED) == (0, lines, refused)
    assert opstore(*words, "--force", remove=TRIED) == (0, lines, left)
    assert opstore(*words, "-q", remove=TRIED) == (0, "pca@1.0.0\npca@1.0.1\npca\n", "")


@pytest.mark.usefixtures("terminal")
def test_on_a_terminal_a_removal_is_a_table(opstore: Opstore) -> None:
    table = "REMOVED    BROKE\npca@1.0.1  nothing\n"
    assert opstore("remove", "pca@1.0.1", remove=DONE)[1] == table
    lines = [
        "WOULD REMOVE  WOULD BREAK",
        "pca@1.0.0     pca@1.0.0 is valid for forest@1.0.0",
        "pca@1.0.0     the tag best is on pca@1.0.0",
        "pca@1.0.1     nothing",
        "pca           nothing",
    ]
    assert opstore("remove", "pca", "--all-versions", "--dry-run", remove=TRIED)[1].splitlines() == lines


# --- with a store ---------------------------------------------------------------------------------------------------


@pytest.fixture
def client() -> Iterator[InProcessClient]:
    """Return a client of a store with two versions of pca, of which the first is valid for forest."""
    with closing(OpStoreServer(MemorySaver())) as server:
        client = InProcessClient(server)
        client.push("pca", b"one")
        client.push("pca", b"two")
        client.push("forest", b"trees", valid_with=["pca@1.0.0"])
        yield client


Run = Callable[..., Triple]


@pytest.fixture
def run(client: InProcessClient, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command line on the store."""

    def run(*words: str) -> Triple:
        session = FakeSession()
        session.fake = client  # type: ignore[assignment]
        code = main(words, session)
        return (code, *capsys.readouterr())

    return run


def answer(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Let a person at a terminal answer with this text."""
    monkeypatch.setattr(remove, "is_terminal", lambda stream: True)
    monkeypatch.setattr(sys, "stdin", StringIO(text))


def test_off_a_terminal_all_versions_need_a_yes(run: Run, client: InProcessClient) -> None:
    client.unlink("pca@1.0.0", "forest@1.0.0")
    assert run("remove", "pca", "--all-versions") == (
        2,
        "",
        "error: --all-versions would remove pca with 2 versions: to confirm it, add --yes\n"
        "hint: opstore remove --help\n",
    )
    assert client.op("pca").versions == 2
    assert run("remove", "pca", "--all-versions", "--yes")[:2] == (0, "pca@1.0.1\t-\npca@1.0.0\t-\npca\t-\n")
    assert [op.name for op in client.ops()] == ["forest"]


@pytest.mark.parametrize("text", ["n\n", "\n", ""])
def test_at_a_terminal_all_versions_are_removed_only_after_a_yes(
    run: Run, client: InProcessClient, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    answer(monkeypatch, text)
    code, out, err = run("remove", "pca", "--all-versions", "--force")
    assert (code, out) == (130, "")
    assert err.startswith("Remove pca with 2 versions, for good? This breaks 1 thing. [y/N]: ")
    assert client.op("pca").versions == 2
    answer(monkeypatch, "y\n")
    assert run("remove", "pca", "--all-versions", "--force")[0] == 0
    assert [op.name for op in client.ops()] == ["forest"]


def test_nobody_is_asked_about_what_is_refused_or_removes_no_version(
    run: Run, client: InProcessClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer(monkeypatch, "y\n")
    code, _, err = run("remove", "pca", "--all-versions")
    assert code == 5
    assert err == (
        "error: still needed, so nothing was removed: pca@1.0.0 is valid for forest@1.0.0\n"
        "hint: the same command with --dry-run lists all that it would break\n"
    )
    client.register_pipeline("churn", ["typo"])
    client.remove_pipeline("churn")
    assert run("remove", "typo", "--all-versions") == (0, "typo\t-\n", "")


def test_all_versions_are_those_of_ops(run: Run) -> None:
    code, _, err = run("remove", "pca@1.0.0", "--all-versions", "--yes")
    assert (code, err.splitlines()[0]) == (2, "error: --all-versions takes the names of ops: pca in place of pca@1.0.0")


@pytest.mark.parametrize("place", [".", "below/it"])
def test_a_version_that_the_lock_of_the_working_tree_pins_is_removed_with_a_warning(
    run: Run, client: InProcessClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    client.register_pipeline("churn", ["pca", "forest"])
    client.write_lock(client.resolve("churn"), tmp_path / "opstore.lock")
    client.remove_pipeline("churn")
    (tmp_path / place).mkdir(parents=True, exist_ok=True)
    monkeypatch.chdir(tmp_path / place)
    name = "opstore.lock" if place == "." else str(tmp_path / "opstore.lock")
    warning = f"warning: {name} pins pca@1.0.0: opstore pull --lock fails without it\n"
    assert run("remove", "pca@1.0.0")[2].startswith("error: still needed")
    assert run("remove", "pca@1.0.1")[2] == "3 B are left to opstore gc\n"
    assert run("remove", "pca@1.0.0", "--dry-run")[2].startswith(warning)
    assert run("remove", "pca@1.0.0", "--force")[2].startswith(warning)
    assert run("remove", "forest@1.0.0")[2].startswith(f"warning: {name} pins forest@1.0.0: ")


def test_a_lock_that_is_not_readable_or_beyond_the_repository_stops_nothing(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "opstore.lock").write_text("<<<<<<< ours\n")
    monkeypatch.chdir(tmp_path)
    code, _, err = run("remove", "pca@1.0.1")
    assert code == 0
    assert err.startswith("warning: ")
    assert "so it may pin what is to be removed" in err
    (tmp_path / "repository" / ".git").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "repository")
    assert "warning" not in run("remove", "forest@1.0.0", "--force")[2]
