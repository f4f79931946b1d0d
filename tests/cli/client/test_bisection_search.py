"""What a bisection runs, what it reuses, and what it skips."""

from collections.abc import Callable, Mapping, Sequence

import pytest

from opstore_cli.client.bisection_search import BisectionSearch, BisectionStep
from opstore_cli.evidence.search import Boundary
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.records import OpVersion, PipelineRecord, RecordedRun, RunRecord, RunResult, VersionRecord
from opstore_daemon.protocol.version_sets import set_digest
from tests.cli.evidence.test_timeline import a_change, a_timeline
from tests.cli.output.fakes import DIGEST, THEN, a_version

EDGES = (("pca", "forest"),)
PIPELINE = PipelineRecord(name="churn", ops=("pca", "forest"), edges=EDGES, registered_at=THEN, position=1)
CHANGES = 16

Oracle = Callable[[str], RunResult]


def subversions(op: str, number: str) -> str:
    return f"{op.encode().hex():0>4}.{number.replace('.', ''):0>4}.0000"


def a_record(op: str, number: str, _as_of: str | None = None) -> VersionRecord:
    return a_version(number, op=op, subversions=subversions(op, number))


def a_run(
    position: int,
    result: RunResult,
    pca: str,
    forest: str = "1.0.0",
    edges: Sequence[tuple[str, str]] = EDGES,
    repeat: int = 1,
) -> RunRecord:
    numbers = {"forest": forest, "pca": pca}
    return RunRecord(
        position=position,
        registered_at=THEN,
        pipeline="churn",
        set=set_digest(edges, {op: subversions(op, number) for op, number in numbers.items()}),
        versions=tuple(OpVersion(op=op, version=number) for op, number in numbers.items()),
        command=("python", "eval.py"),
        script=None,
        script_path=None,
        result=result,
        reason="because",
        exit_code=0,
        duration=0.0,
        repeat=repeat,
        output_digest=DIGEST,
        output_size=0,
        commit=None,
        ci_url=None,
    )


class Scene:
    """A pipeline of which pca changed sixteen times; `first_bad` broke it. `damaged` versions can't be pulled."""

    def __init__(
        self,
        first_bad: int = 11,
        *,
        unknown: Sequence[int] = (),
        damaged: Mapping[int, errors.OpStoreError] | None = None,
    ) -> None:
        self._first_bad, self._unknown, self._damaged = first_bad, unknown, damaged or {}
        self.ran: list[str] = []
        self.steps: list[BisectionStep] = []
        changes = [a_change(10 + number, "pca", f"1.0.{number}") for number in range(1, CHANGES + 1)]
        timeline = a_timeline(*changes, since=10, until=30, pca="1.0.0", forest="1.0.0")
        self.search = BisectionSearch(PIPELINE, timeline, self._run_on, a_record, self.steps.append)

    def _run_on(self, versions: Sequence[VersionRecord]) -> RecordedRun:
        assert [each.op for each in versions] == ["pca", "forest"]
        number = int(versions[0].version.rpartition(".")[2])
        if number in self._damaged:
            raise self._damaged[number]
        self.ran.append(versions[0].version)
        result: RunResult = "unknown" if number in self._unknown else "passed" if number < self._first_bad else "failed"
        return RecordedRun(run=a_run(100 + len(self.ran), result, versions[0].version))


def test_sets_are_run_until_the_first_bad_one_is_found() -> None:
    scene = Scene()

    assert scene.search.find() == Boundary(10, 11, ())
    assert scene.ran == ["1.0.16", "1.0.8", "1.0.12", "1.0.10", "1.0.11"]
    assert [run.position for run in scene.search.deciding_runs(Boundary(10, 11, ()))] == [101, 102, 103, 104, 105]


def test_each_run_is_announced_and_its_result_is_told() -> None:
    scene = Scene()
    scene.search.find()

    before, after = scene.steps[2:4]
    assert (before.position, before.suspects, before.runs, before.result) == (18, 16, 4, None)
    assert (after.position, after.result, after.is_reused) == (18, "passed", False)
    assert after.run is not None
    assert after.run.position == 102


def test_results_of_earlier_runs_are_not_run_again() -> None:
    first = Scene()
    answer = first.search.find()
    again = Scene()
    again.search.reuse(list(first.search.runs.values()))

    assert again.search.find() == answer
    assert again.ran == []
    assert [(each.position, each.result, each.is_reused) for each in again.steps] == [
        (26, "failed", True),
        (20, "passed", True),
        (21, "failed", True),
    ]


def test_of_several_earlier_runs_of_a_set_the_newest_counts() -> None:
    scene = Scene()
    scene.search.reuse([a_run(9, "failed", "1.0.16"), a_run(7, "passed", "1.0.16")])

    assert scene.search.find() == Boundary(10, 11, ())
    assert scene.ran == ["1.0.8", "1.0.12", "1.0.10", "1.0.11"]


def test_runs_of_other_sets_and_of_another_graph_are_not_used() -> None:
    scene = Scene()
    scene.search.reuse(
        [a_run(9, "passed", "1.0.16", "2.0.0"), a_run(8, "passed", "1.0.16", edges=()), a_run(7, "passed", "3.0.0")]
    )

    assert scene.search.find() == Boundary(10, 11, ())
    assert scene.ran[0] == "1.0.16"


def test_a_run_with_too_few_repetitions_is_not_used_unless_it_could_not_tell() -> None:
    scene = Scene()
    runs = [a_run(9, "failed", "1.0.16"), a_run(8, "unknown", "1.0.8"), a_run(7, "failed", "1.0.12", repeat=3)]
    scene.search.reuse(runs, 3)

    assert scene.search.find() == Boundary(10, 11, ())
    assert scene.ran[0] == "1.0.16"
    assert not {"1.0.8", "1.0.12"} & set(scene.ran)


def test_a_good_end_that_failed_already_is_refused() -> None:
    scene = Scene()

    with pytest.raises(
        errors.BisectionRefused, match=r"the command failed at the good end already, position 10 \(run 7\)"
    ):
        scene.search.reuse([a_run(7, "failed", "1.0.0")])


def test_a_bad_end_that_passes_leaves_nothing_to_find() -> None:
    scene = Scene(first_bad=99)

    with pytest.raises(errors.NotBroken) as failure:
        scene.search.find()
    assert failure.value.details["run"] == 101
    assert scene.ran == ["1.0.16"]


@pytest.mark.parametrize(
    ("scene", "reason"),
    [
        (Scene(unknown=[16]), "because (run 101)"),
        (Scene(damaged={16: errors.BlobDamaged(digest=DIGEST, reason="it is cut")}), "pca@1.0.16: the stored bytes"),
    ],
    ids=["can't tell", "can't be pulled"],
)
def test_a_bad_end_that_can_not_be_tested_ends_it(scene: Scene, reason: str) -> None:
    with pytest.raises(errors.BadEndUntested) as failure:
        scene.search.find()
    assert failure.value.exit_code == 3
    assert reason in failure.value.details["reason"]


def test_sets_that_can_not_be_told_make_suspects() -> None:
    scene = Scene(unknown=[9, 10])

    assert scene.search.find() == Boundary(8, 11, (9, 10))


def test_all_sets_with_a_version_that_can_not_be_pulled_are_skipped() -> None:
    """forest 1.0.1 is damaged, and was the latest from position 15 to position 19: one pull shows it."""
    changes = [a_change(10 + number, "pca", f"1.0.{number}") for number in range(1, CHANGES + 1)]
    changes[4] = a_change(15, "forest", "1.0.1")
    changes[9] = a_change(20, "forest", "1.0.2")
    tried: list[str] = []

    def run_on(versions: Sequence[VersionRecord]) -> RecordedRun:
        pca, forest = versions
        tried.append(pca.version)
        if forest.version == "1.0.1":
            raise errors.NotStored(op="forest", version="1.0.1")
        result: RunResult = "passed" if forest.version == "1.0.0" else "failed"
        return RecordedRun(run=a_run(100 + len(tried), result, pca.version, forest.version))

    timeline = a_timeline(*changes, since=10, until=30, pca="1.0.0", forest="1.0.0")
    search = BisectionSearch(PIPELINE, timeline, run_on, a_record, lambda _: None)

    assert search.find() == Boundary(4, 10, (5, 6, 7, 8, 9))
    assert len(tried) == 6  # the bad end, a damaged set, and at most four for the ten sets beside the damaged ones


@pytest.mark.parametrize(
    "failure",
    [
        errors.UnexpectedResponse(url="http://x", actual="a", expected="b"),
        errors.PipelineChanged(pipeline="churn", difference="it has a"),
        errors.PipelineNotFound(pipeline="churn"),
        errors.OutputFailed(path="folder", reason="no space left"),
        KeyboardInterrupt(),
    ],
    ids=lambda each: type(each).__name__,
)
def test_any_other_failure_ends_the_bisection(failure: BaseException) -> None:
    scene = Scene(damaged={8: failure})  # type: ignore[dict-item]

    with pytest.raises(type(failure)):
        scene.search.find()
    assert scene.ran == ["1.0.16"]
