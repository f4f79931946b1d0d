"""A hostile daemon: its responses don't decide where the client writes, and can't pass off another version."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from opstore_cli import OpStoreClient, lockfile
from opstore_cli.config.settings import load_settings
from opstore_cli.console.session import Session
from opstore_cli.main import main as run
from opstore_daemon.protocol import errors, records, routes
from opstore_daemon.protocol.digests import digest_of
from opstore_daemon.protocol.names import PipelineName
from tests.support.fake_daemon import TOKEN, FakeDaemon
from tests.support.figures import few

BYTES, OTHERS = b"the bytes that were asked for", b"other bytes"
EVIL_OPS = ["other", "../x", "/etc/x", ".git/hooks/pre-commit", ".config/autostart/a", "", "PCA", "pca\n"]
EVIL_NUMBERS = ["1.0.0/../../x", "/x", "b.desktop", "", "1.0", "01.0.0", "1.0.٠", "1.0.2147483648", "1.0.0\n"]


def main(words: list[str]) -> int:
    """Run a command line in this process; return its exit code."""
    return run(words, Session())


@pytest.fixture
def hostile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeDaemon]:
    """A daemon with one version of pca, and a working directory to pull into."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    with FakeDaemon() as daemon:
        daemon.versions.append(BYTES)
        for name, value in {"URL": daemon.url, "TOKEN": TOKEN, "HOME": str(tmp_path / "home")}.items():
            monkeypatch.setenv(f"OPSTORE_{name}", value)
        yield daemon


@pytest.fixture
def client(hostile: FakeDaemon) -> Iterator[OpStoreClient]:
    with OpStoreClient(settings=load_settings(None, os.environ, Path.cwd())) as client:
        yield client


def files(folder: Path) -> list[str]:
    """All files below the folder."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def is_refused(client: OpStoreClient, reference: str) -> bool:
    """Whether `show` and every way to pull refuse the response to this reference, and write nothing."""
    folder = Path.cwd().parent
    refused = []
    for verb in (client.show, client.pull, client.load, lambda name: client.pull(name, "out")):
        try:
            verb(reference)
        except errors.UnexpectedResponse:
            refused.append(True)
        else:
            refused.append(False)
    for words in (["pull", reference], ["pull", reference, "-o", "out"], ["pull", reference, "-d", "models"]):
        refused.append(main(words) == 6)
    assert any(refused) == all(refused), refused
    assert not refused[0] or files(folder) == []
    return refused[0]


@pytest.mark.parametrize("tells", [True, False])
@pytest.mark.parametrize("op", few(2, EVIL_OPS))
def test_a_version_of_another_op_is_refused(hostile: FakeDaemon, client: OpStoreClient, op: str, tells: bool) -> None:
    hostile.tells, hostile.claims = tells, {"op": op}
    assert is_refused(client, "pca")
    assert is_refused(client, "pca@1.0.0")


@pytest.mark.parametrize("number", few(3, EVIL_NUMBERS))
def test_an_invalid_version_number_is_refused(hostile: FakeDaemon, client: OpStoreClient, number: str) -> None:
    hostile.claims = {"version": number}
    assert is_refused(client, "pca")


def test_a_negative_size_is_refused(hostile: FakeDaemon, client: OpStoreClient) -> None:
    hostile.claims = {"size": -1}
    assert is_refused(client, "pca")


@pytest.mark.parametrize(
    ("selector", "claims"),
    few(
        8,
        [
            ("1.0.0", {"version": "9.9.9"}),
            ("1", {"version": "2.0.0"}),
            ("1.0", {"version": "1.1.0"}),
            (">=1,<2", {"version": "2.0.0"}),
            ("aaaa.bbbb.dddd", {}),
            ("aaaa.bbbb.dddd_2026", {}),
            ("aaaa.bbbb.cccc", {"version": "../x"}),
            (digest_of(OTHERS), {}),
            (digest_of(OTHERS)[:15], {}),
            ("latest", {"digest": "../x"}),
            (digest_of(BYTES), {"digest": None}),
        ],
    ),
)
def test_a_version_that_the_selector_cannot_pick_is_refused(
    hostile: FakeDaemon, client: OpStoreClient, selector: str, claims: dict[str, Any]
) -> None:
    hostile.claims = claims
    assert is_refused(client, f"pca@{selector}")


@pytest.mark.parametrize(
    "selector",
    few(
        3, ["1.0.0", "1", "1.0", ">=1,<2", "~=1.0", "aaaa.bbbb.cccc", "aaaa.bbbb.cccc_2026", digest_of(BYTES), "stable"]
    ),
)
def test_a_version_that_the_selector_can_pick_is_accepted(
    hostile: FakeDaemon, client: OpStoreClient, selector: str
) -> None:
    assert client.pull(f"pca@{selector}") == BYTES
    assert client.show(f"pca@{selector}").version == "1.0.0"
    assert main(["pull", f"pca@{selector}"]) == 0
    assert files(Path.cwd()) == ["pca-1.0.0"]


def test_the_number_in_a_header_is_checked_before_it_is_requested(hostile: FakeDaemon, client: OpStoreClient) -> None:
    hostile.tells, hostile.served_number = False, "1.0.0"
    assert client.pull("pca") == BYTES
    assert client.get_op_bytes_for_version("pca", "aaaa.bbbb.cccc") == BYTES
    with pytest.raises(errors.UnexpectedResponse):
        client.get_op_bytes_for_version("pca", "aaaa.bbbb.dddd")
    for hostile.served_number in ("..", "latest", "1", "9.9.9"):
        hostile.log.clear()
        with pytest.raises(errors.UnexpectedResponse):
            client.pull("pca@1.0.0")
        assert all(line.endswith(("/1.0.0/bytes", "/9.9.9")) for line in hostile.log)


def json(value: Any) -> tuple[int, str, bytes]:
    return 200, routes.JSON, records.encode(value)


def resolution(*versions: dict[str, Any]) -> tuple[int, str, bytes]:
    return json(
        {"pipeline": "churn", "verdict": "valid", "versions": versions, "edges": [], "skipped": [], "position": 1}
    )


@pytest.mark.parametrize(
    "claims", few(4, [{"op": op} for op in EVIL_OPS[1:]] + [{"version": number} for number in EVIL_NUMBERS])
)
def test_a_resolution_names_no_path(hostile: FakeDaemon, claims: dict[str, Any]) -> None:
    hostile.answers = [resolution(hostile.record(1) | claims)]
    assert main(["pull", "--pipeline", "churn", "-d", "models"]) == 6
    assert files(Path.cwd().parent) == []


def test_a_resolution_has_each_op_once(hostile: FakeDaemon, client: OpStoreClient) -> None:
    hostile.answers = [resolution(hostile.record(1), hostile.record(1))]
    with pytest.raises(errors.UnexpectedResponse):
        client.resolve("churn")


@pytest.mark.parametrize("claims", [{"op": "../x"}, {"version": "../x"}])
def test_the_versions_that_are_valid_for_an_op_are_of_the_op_that_was_asked_for(
    hostile: FakeDaemon, claims: dict[str, Any]
) -> None:
    hostile.answers = [json({"op": "pca", "versions": [hostile.record(1) | claims], "skipped": []})]
    assert main(["pull", "pca", "--valid-for", "forest"]) == 6
    hostile.answers = [json({"op": "other", "versions": [], "skipped": []})]
    assert main(["pull", "pca", "--valid-for", "forest"]) == 6
    assert files(Path.cwd().parent) == []


def write_lock(**changed: Any) -> None:
    """Write opstore.lock with the version of pca, and these keys changed."""
    version = {"op": "pca", "version": "1.0.0", "subversions": "aaaa.bbbb.cccc", "digest": digest_of(BYTES)}
    locked = lockfile.PinnedVersion(**{**version, "size": len(BYTES), **changed})
    lockfile.write(Path("opstore.lock"), lockfile.LockFile(PipelineName("churn"), (), (locked,)))


PULL_LOCK = ["pull", "--lock", "opstore.lock", "-d", "models"]


def test_a_lock_is_pulled_by_its_own_names(hostile: FakeDaemon) -> None:
    write_lock()
    assert main(PULL_LOCK) == 0
    assert files(Path.cwd()) == ["models/.opstore-pull.json", "models/pca", "opstore.lock"]


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({"op": "other"}, 6),
        ({"op": "../x"}, 6),
        ({"subversions": "aaaa.bbbb.dddd"}, 6),
        ({"digest": digest_of(OTHERS)}, 5),
        ({"size": 1}, 5),
    ],
)
def test_a_version_that_differs_from_the_lock_is_not_pulled(
    hostile: FakeDaemon, claims: dict[str, Any], code: int
) -> None:
    write_lock()
    hostile.claims = claims
    assert main(PULL_LOCK) == code
    assert files(Path.cwd()) == ["opstore.lock"]


@pytest.mark.parametrize("changed", [{"subversions": "aaaa.bbbb.dddd"}, {"digest": digest_of(OTHERS)}, {"size": 1}])
def test_bytes_of_another_version_than_the_one_shown_are_not_pulled(
    hostile: FakeDaemon, changed: dict[str, Any]
) -> None:
    write_lock(**changed)
    hostile.answers = [
        json(hostile.record(1) | changed)
    ]  # shown as the lock has it; the bytes come with another record
    assert main(PULL_LOCK) == 6
    assert files(Path.cwd()) == ["opstore.lock"]


@pytest.mark.parametrize(
    "claims",
    few(
        6,
        [
            {"pipeline": "other"},
            {"holds": False},
            {"findings": ["pca@1.0.0 is yanked: broken"]},
            {"versions": []},
            {"versions": [{"op": "other", "version": "1.0.0"}]},
            {"versions": [{"op": "pca", "version": "../x"}]},
            {"versions": [{"op": "pca", "version": "1.0.0"}] * 2},
        ],
    ),
)
def test_a_check_of_a_lock_is_about_its_versions(hostile: FakeDaemon, claims: dict[str, Any]) -> None:
    write_lock()
    check = {"pipeline": "churn", "holds": True, "findings": [], "position": 1}
    check["versions"] = [{"op": "pca", "version": "1.0.0"}]
    hostile.answers = [json(check)]
    assert main(["resolve", "--check", "opstore.lock"]) == 0
    hostile.answers = [json(check | claims)]
    assert main(["resolve", "--check", "opstore.lock"]) in (6, 7)


@pytest.mark.parametrize("claims", [{"digest": digest_of(OTHERS)}, {"size": 1}, {"digest": None, "size": None}])
def test_an_upgrade_keeps_no_version_with_other_bytes_than_in_the_lock(
    hostile: FakeDaemon, claims: dict[str, Any]
) -> None:
    write_lock()
    before = Path("opstore.lock").read_bytes()
    upgrade = ["resolve", "--lock", "opstore.lock", "--upgrade", "pca"]
    pipeline = {"name": "churn", "ops": ["pca"], "edges": [], "registered_at": "2026-01-01T00:00:00Z", "position": 1}
    hostile.answers = [resolution(hostile.record(1) | claims), json(pipeline)]
    assert main(upgrade) == 6
    assert Path("opstore.lock").read_bytes() == before
    hostile.answers = [resolution(hostile.record(1)), json(pipeline)]
    assert main(upgrade) == 0


@pytest.mark.parametrize("claims", [{"op": "other"}, {"version": "x"}, {"digest": digest_of(OTHERS)}, {"size": 1}])
def test_a_push_reports_the_version_that_was_pushed(
    hostile: FakeDaemon, client: OpStoreClient, claims: dict[str, Any]
) -> None:
    hostile.claims = claims
    with pytest.raises(errors.UnexpectedResponse):
        client.push("pca", BYTES)


def test_records_of_another_op_are_refused(hostile: FakeDaemon, client: OpStoreClient) -> None:
    changes: list[Callable[[], object]] = [
        lambda: client.register("pca", subversions="aaaa.bbbb.cccc"),
        lambda: client.yank("pca@1.0.0", "bad"),
        lambda: client.unyank("pca@1.0.0"),
        lambda: client.op("pca"),
        lambda: client.set_op("pca", compat="minor"),
    ]
    for change in changes:
        other = hostile.record(1, "other") | {"name": "other", "latest": None, "versions": 0, "compat": "minor"}
        hostile.answers = [json(other)]
        with pytest.raises(errors.UnexpectedResponse):
            change()


def test_the_path_of_a_session_stays_at_the_address_of_the_daemon(hostile: FakeDaemon, client: OpStoreClient) -> None:
    hostile.answers = [json({"path": "@elsewhere.example/", "seconds": 60})]
    with pytest.raises(errors.UnexpectedResponse):
        client.invite()
