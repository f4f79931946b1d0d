"""`client.bisect`: the ends, what is run and recorded, and the answer."""

import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from opstore_cli import CantTell
from opstore_cli.client.bisection import Bisection
from opstore_cli.client.bisection_search import BisectionStep
from opstore_daemon import OpStoreServer
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.digests import Digest
from opstore_daemon.savers import MemorySaver
from tests.support.in_process import InProcessClient
from tests.support.servers import ADMIN_TOKEN


@pytest.fixture
def client(memory_server: OpStoreServer) -> InProcessClient:
    """Return a client of a store with the pipeline churn of pca and forest, of which pca 1.0.5 broke it.

    Its sets begin at the positions 3 (complete for the first time) and, after each push of pca, 4 to 11.
    """
    return fill(InProcessClient(memory_server))


def fill(client: InProcessClient) -> InProcessClient:
    client.register_pipeline("churn", ["pca", "forest"])
    client.push("pca", b"good 0")
    client.push("forest", b"trees")
    for number in range(1, 9):
        client.push("pca", f"{'good' if number < 5 else 'bad'} {number}".encode(), message=f"number {number}")
    return client


def is_good(paths: Mapping[str, Path]) -> bool:
    """Return whether the pipeline works: what the tests run on each set."""
    return paths["pca"].read_bytes().startswith(b"good")


def first(client: InProcessClient) -> int:
    """Return the position at which the pipeline had all versions for the first time."""
    return client.log("forest")[-1].position


def bisect(client: InProcessClient, **options: Any) -> Bisection:
    return client.bisect("churn", is_good, **({"good": first(client)} | options))


def test_the_entry_that_broke_the_pipeline_is_found(client: InProcessClient) -> None:
    found = bisect(client)

    assert found
    assert (found.culprit.op, found.culprit.version, found.culprit.text) == ("pca", "1.0.5", "number 5")
    assert found.culprit.position == found.first_bad == client.show("pca@1.0.5").position
    assert found.culprit.author == client.show("pca@1.0.5").author
    assert list(map(str, found.last_good_versions)) == ["pca@1.0.4", "forest@1.0.0"]
    assert found.last_good == client.show("pca@1.0.4").position
    assert found.suspects == (found.culprit,)
    assert found.diff == client.diff("pca@1.0.4", "pca@1.0.5")
    assert (found.runs_made, found.runs_reused) == (4, 0)  # 8 changes
    assert [(run.result, str(run.versions[0])) for run in reversed(client.runs("churn"))] == [
        ("failed", "pca@1.0.8"),
        ("passed", "pca@1.0.4"),
        ("failed", "pca@1.0.6"),
        ("failed", "pca@1.0.5"),
    ]
    assert list(found.runs) == [run.position for run in reversed(client.runs("churn"))]


def test_the_last_good_versions_can_be_pulled(client: InProcessClient, tmp_path: Path) -> None:
    client.pull_lock(bisect(client).lock(), tmp_path)
    assert (tmp_path / "pca").read_bytes() == b"good 4"


@pytest.mark.slow
def test_the_same_bisection_runs_nothing_again_and_is_recorded_once(client: InProcessClient) -> None:
    once = bisect(client)
    steps: list[BisectionStep] = []
    again = bisect(client, notify=steps.append)

    assert (again.runs_made, again.runs_reused) == (0, 4)
    assert (again.position, again.culprit, again.runs) == (once.position, once.culprit, once.runs)
    assert len(client.bisections("churn")) == 1
    assert [(each.result, each.is_reused) for each in steps] == [("failed", True), ("passed", True), ("failed", True)]


@pytest.mark.slow
def test_a_run_is_not_made_again_between_other_ends(client: InProcessClient) -> None:
    bisect(client)
    again = bisect(client, good=client.show("pca@1.0.1").position, bad=client.show("pca@1.0.7").position)

    assert again.culprit.version == "1.0.5"
    assert again.runs_made == 1  # the bad end


@pytest.mark.slow
def test_rerun_ignores_earlier_runs(client: InProcessClient) -> None:
    bisect(client)
    again = bisect(client, rerun=True)
    assert (again.runs_made, again.runs_reused) == (4, 0)


def test_runs_of_verify_count(client: InProcessClient) -> None:
    client.verify("churn", is_good)
    assert bisect(client).runs_made == 3


@pytest.mark.slow
def test_another_function_makes_its_own_runs(client: InProcessClient) -> None:
    bisect(client)
    found = client.bisect(
        "churn", lambda paths: paths["pca"].read_bytes() in (b"good 0", b"good 1"), good=first(client)
    )
    assert (found.culprit.version, found.runs_reused) == ("1.0.2", 0)


@pytest.mark.slow
def test_the_good_end_is_a_position_a_time_or_a_lock(client: InProcessClient, tmp_path: Path) -> None:
    client.link("pca@1.0.0", "forest@1.0.0")
    resolution = client.resolve("churn", use="pca@1.0.0")
    path = tmp_path / "release.lock"
    client.write_lock(resolution, path)
    moment = client.show("pca@1.0.1").registered_at

    for good in (first(client), str(first(client)), resolution.lock(), path, str(path)):
        assert bisect(client, good=good).culprit.version == "1.0.5"
    assert bisect(client, good=moment).good >= first(client)
    assert bisect(client, good=moment.isoformat(), bad=datetime.now(UTC)).culprit.version == "1.0.5"


def test_a_lock_means_the_newest_position_with_its_versions(client: InProcessClient) -> None:
    """pca 1.0.0 comes back when all others are yanked, and breaks again when one is unyanked."""
    client.link("pca@1.0.0", "forest@1.0.0")
    lock = client.resolve("churn", use="pca@1.0.0").lock()
    for number in range(8, 0, -1):
        client.yank(f"pca@1.0.{number}", "bad")
    client.unyank("pca@1.0.7")

    found = bisect(client, good=lock)
    assert (found.culprit.action, found.culprit.version) == ("unyanked", "1.0.7")
    assert found.runs_made == 1


def test_a_lock_whose_versions_were_never_the_latest_is_refused_with_what_differs(client: InProcessClient) -> None:
    client.push("forest", b"other trees", valid_with="pca@1.0.2")
    lock = client.resolve("churn", use="pca@1.0.2").lock()

    with pytest.raises(
        errors.BisectionRefused, match=r"most like it is position \d+, with pca@1.0.8 \(in the lock: 1.0.2\)"
    ):
        bisect(client, good=lock)


def test_a_lock_of_other_ops_or_of_another_pipeline_is_refused(client: InProcessClient, tmp_path: Path) -> None:
    client.register_pipeline("small", ["pca"])
    client.write_lock(client.resolve("small"), tmp_path / "small.lock")

    with pytest.raises(errors.BisectionRefused, match=r"small\.lock is a lock of small"):
        bisect(client, good=tmp_path / "small.lock")
    with pytest.raises(errors.BisectionRefused, match="the lock has no version of an op: forest"):
        bisect(client, good=client.resolve("small").lock())


def test_both_ends_have_to_be_complete(client: InProcessClient) -> None:
    with pytest.raises(
        errors.BisectionRefused,
        match=rf"at the good end, position 0, there is no version of pca, forest; .* first at position {first(client)}",
    ):
        bisect(client, good=0)
    client.yank("forest@1.0.0", "bad")
    with pytest.raises(
        errors.BisectionRefused,
        match=r"at the bad end, position \d+, there is no version of forest; it was complete last",
    ):
        bisect(client)


def test_ends_without_a_change_between_them_are_refused(client: InProcessClient) -> None:
    with pytest.raises(errors.BisectionRefused, match="no latest version of its ops changed"):
        bisect(client, good=client.show("pca@1.0.8").position)
    client.yank("pca@1.0.8", "bad")
    client.unyank("pca@1.0.8")
    with pytest.raises(errors.BisectionRefused, match="its ops had the same versions at"):
        bisect(client, good=client.show("pca@1.0.8").position)


def test_a_good_end_after_the_bad_end_is_refused(client: InProcessClient) -> None:
    with pytest.raises(errors.BisectionRefused, match="the good end, position 9, is after the bad end, position 6"):
        bisect(client, good=9, bad=6)
    with pytest.raises(errors.InvalidRequest, match="position 999 does not exist"):
        bisect(client, good=999)
    with pytest.raises(errors.InvalidRequest, match=r"'no\.lock' is neither a lock file that exists nor a position"):
        bisect(client, good="no.lock")
    with pytest.raises(errors.InvalidArgument):
        bisect(client, good=1.5)


def test_a_bad_end_that_passes_or_can_not_be_tested_is_an_error(client: InProcessClient) -> None:
    with pytest.raises(errors.NotBroken, match=r"churn passed at the bad end, position 7 \(run \d+\)"):
        bisect(client, bad=7)

    def can_not_tell(paths: Mapping[str, Path]) -> None:
        raise CantTell("no data")

    with pytest.raises(errors.BadEndUntested, match="no data") as failure:
        client.bisect("churn", can_not_tell, good=first(client))
    assert failure.value.exit_code == 3
    assert client.bisections("churn") == []


def test_options_that_fit_no_run_are_refused_although_earlier_results_would_do(client: InProcessClient) -> None:
    bisect(client)
    with pytest.raises(errors.InvalidArgument, match="repeat must be between 1 and"):
        bisect(client, repeat=0)
    with pytest.raises(errors.InvalidRequest, match="a function can't be ended"):
        bisect(client, timeout=5)


def test_sets_that_can_not_be_tested_make_suspects(client: InProcessClient) -> None:
    def tested(paths: Mapping[str, Path]) -> bool:
        content = paths["pca"].read_bytes()
        if content in (b"good 4", b"bad 5"):
            raise CantTell("no data")
        return content.startswith(b"good")

    found = client.bisect("churn", tested, good=first(client))
    assert not found
    assert [each.version for each in found.suspects] == ["1.0.4", "1.0.5", "1.0.6"]
    assert found.diff is None
    assert len(found.skipped) == 2
    assert list(map(str, found.last_good_versions)) == ["pca@1.0.3", "forest@1.0.0"]


def test_a_set_without_a_version_of_an_op_is_skipped(client: InProcessClient) -> None:
    client.yank("forest@1.0.0", "bad")
    client.push("forest", b"more trees")
    steps: list[BisectionStep] = []
    found = client.bisect(
        "churn",
        lambda paths: paths["forest"].read_bytes() == b"trees",
        good=client.show("pca@1.0.8").position,
        notify=steps.append,
    )
    assert [each.action for each in found.suspects] == ["yanked", "stored"]
    assert [(each.run, each.reason) for each in steps if each.result == "missing"] == [(None, "forest had no version")]


def test_sets_whose_bytes_are_damaged_are_skipped() -> None:
    saver = MemorySaver()
    server = OpStoreServer(saver, token=ADMIN_TOKEN)
    client = fill(InProcessClient(server))
    del saver._blobs[Digest.parse(str(client.show("pca@1.0.4").digest))]
    steps: list[BisectionStep] = []

    found = bisect(client, notify=steps.append)
    assert [each.version for each in found.suspects] == ["1.0.4", "1.0.5"]
    assert [each.reason.partition(" of ")[0] for each in steps if each.result == "missing"] == [
        "pca@1.0.4: the stored bytes"
    ]
    server.close()


def test_a_set_is_run_as_it_was_although_a_version_is_pushed_meanwhile(client: InProcessClient) -> None:
    def pushes(paths: Mapping[str, Path]) -> bool:
        client.push("pca", paths["pca"].read_bytes() + b".", valid_for=())
        return paths["pca"].read_bytes().startswith(b"good")

    assert client.bisect("churn", pushes, good=first(client)).culprit.version == "1.0.5"


def test_a_graph_that_changes_meanwhile_is_a_conflict(client: InProcessClient) -> None:
    def changes(paths: Mapping[str, Path]) -> bool:
        client.remove_pipeline("churn")
        client.register_pipeline("churn", ["pca", "forest", "judge"])
        return True

    with pytest.raises(errors.PipelineChanged):
        client.bisect("churn", changes, good=first(client))
    assert client.runs("churn") == []


def test_a_function_gets_the_objects(client: InProcessClient) -> None:
    client.register_pipeline("numbers", ["number"])
    for number in range(6):
        client.save("number", {"value": number})

    found = client.bisect(
        "numbers", lambda objects: objects["number"]["value"] < 4, good=client.show("number@1.0.0").position, load=True
    )
    assert found.culprit.version == "1.0.4"


def test_an_interrupted_bisection_resumes(client: InProcessClient) -> None:
    ran = []

    def interrupts(paths: Mapping[str, Path]) -> bool:
        ran.append(paths["pca"].read_bytes())
        if len(ran) == 3:
            raise KeyboardInterrupt
        return paths["pca"].read_bytes().startswith(b"good")

    with pytest.raises(KeyboardInterrupt):
        client.bisect("churn", interrupts, good=first(client))
    assert len(client.runs("churn")) == 2
    found = client.bisect("churn", interrupts, good=first(client))
    assert (found.culprit.version, found.runs_made, found.runs_reused) == ("1.0.5", 2, 2)


@pytest.mark.slow
def test_a_run_with_another_script_is_not_used(client: InProcessClient, tmp_path: Path) -> None:
    code = "import os, sys; sys.exit(not open(os.environ['OPSTORE_OP_PCA']).read().startswith('good'))"
    command = [sys.executable, "-c", code]
    script = tmp_path / "data.csv"
    script.write_text("1")
    client.bisect("churn", command, good=first(client), script_path=script)

    assert client.bisect("churn", command, good=first(client), script_path=script).runs_made == 0
    assert client.bisect("churn", command, good=first(client)).runs_made == 4
    script.write_text("2")
    assert client.bisect("churn", command, good=first(client), script_path=script).runs_made == 4


def test_the_answer_is_there_although_what_differs_can_not_be_compared(
    client: InProcessClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    compare = type(client).diff

    def diff(self: InProcessClient, one: str, other: str, *, files: bool | None = None) -> Any:
        if files is None:
            raise errors.BlobDamaged(digest="sha256:" + "ab" * 32, reason="it is cut")
        return compare(self, one, other, files=files)

    monkeypatch.setattr(InProcessClient, "diff", diff)
    found = bisect(client)
    assert found.diff is not None
    assert found.diff.files is None


# --- removed versions -----------------------------------------------------------------------------------------------


def test_sets_with_a_removed_version_are_skipped_and_the_answer_names_it(client: InProcessClient) -> None:
    steps: list[BisectionStep] = []
    client.remove(["pca@1.0.4", "pca@1.0.0"], force=True)
    found = bisect(client, notify=steps.append)
    assert [each.version for each in found.suspects] == ["1.0.4", "1.0.5"]
    assert [str(each) for each in found.last_good_versions] == ["pca@1.0.3", "forest@1.0.0"]
    (reason,) = {each.reason for each in steps if each.result == "missing"}
    assert reason.startswith("pca@1.0.4: pca@1.0.4 was removed at ")


def test_earlier_runs_and_the_last_good_set_count_though_their_versions_were_removed(client: InProcessClient) -> None:
    before = bisect(client)
    client.remove(["pca@1.0.4", "pca@1.0.5"], force=True, reason="space")
    again = bisect(client, bad=client.log("pca")[-1].position + 9)
    assert (again.culprit.version, again.runs_made) == ("1.0.5", 0)
    assert again.last_good_set == before.last_good_set
    assert again.diff is None
    assert client.bisections("churn")[0].culprit == before.culprit
    assert [run.position for run in client.runs("churn")] != []


def test_a_removal_that_made_an_older_version_the_latest_is_the_culprit(client: InProcessClient) -> None:
    client.push("pca", b"good 9")
    good = client.log(limit=1)[0].position
    client.remove("pca@1.0.9", force=True)
    found = client.bisect("churn", is_good, good=good)
    assert (found.culprit.action, str(found.culprit.version)) == ("removed", "1.0.8")
    assert [each.version for each in found.last_good_set] == ["1.0.9", "1.0.0"]


def test_a_lock_with_a_removed_version_is_a_good_end(client: InProcessClient, tmp_path: Path) -> None:
    lock = tmp_path / "opstore.lock"
    client.link("pca@1.0.2", "forest@1.0.0")
    client.write_lock(client.resolve("churn"), lock)
    client.remove("pca@1.0.2", force=True)
    assert bisect(client, good=lock).culprit.version == "1.0.5"
