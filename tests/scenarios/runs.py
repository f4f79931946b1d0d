"""Runs of commands on sets of versions, and the links that they are evidence for."""

from collections.abc import Callable
from typing import Any

import pytest

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.digests import digest_of
from opstore_daemon.protocol.limits import MAX_OUTPUT
from opstore_daemon.protocol.records import OpVersion
from opstore_daemon.protocol.records.runs import MAX_COMMAND
from opstore_daemon.protocol.version_sets import set_digest
from tests.scenarios.scene import Scenario, Scene, spelt
from tests.support.new_run import COMMAND, SCRIPT, new_run

SCENARIOS: list[Scenario] = []
SET = ("pca@1.0.0", "forest@1.0.0")


def churn(scene: Scene) -> None:
    """Push two versions of each op of the pipeline churn: pca, then forest."""
    for version in ("aaa", "aab"):
        scene.push("pca", version)
        scene.push("forest", version)
    scene.store.register_pipeline("churn", ["pca", "forest"])


@SCENARIOS.append
def a_run_that_passed_records_each_edge_as_valid_for_exactly_its_versions(scene: Scene) -> None:
    churn(scene)
    recorded = scene.store.record_run("churn", new_run(*SET, commit="1a2b3c4d5e6f-dirty"))
    run = recorded.run
    (link,) = recorded.links
    assert (link.upstream_version, link.downstream_version, link.valid) == ("1.0.0", "1.0.0", True)
    assert link.run == run.position == link.position - 1
    assert link.evidence == (
        f"run {run.position}: python eval.py --data 'a file' passed in 3.2 s,"
        f" script {SCRIPT[:19]}, commit 1a2b3c4-dirty"
    )
    assert recorded.kept_invalid == ()
    assert scene.store.links() == [link]
    assert scene.store.validate("pca@1.0.0", "forest@1.0.0").verdict == "valid"
    assert scene.store.validate("pca@1.0.0", "forest@1.0.1").edges[0].basis == "not-validated"
    assert scene.store.validate("pca@1.0.1", "forest@1.0.0").edges[0].basis == "compatible", "pca has the level major"


@SCENARIOS.append
def a_run_is_the_record_of_what_ran(scene: Scene) -> None:
    churn(scene)
    run = scene.store.record_run("churn", new_run(*reversed(SET), repeat=3, ci_url="https://ci/7")).run
    assert run.versions == (OpVersion(op="pca", version="1.0.0"), OpVersion(op="forest", version="1.0.0"))
    assert run.set == set_digest([("pca", "forest")], {"pca": spelt("aaa"), "forest": spelt("aaa")})
    assert (run.pipeline, run.command, run.script, run.script_path) == ("churn", COMMAND, SCRIPT, "eval.py")
    assert (run.result, run.reason, run.exit_code, run.duration, run.repeat) == ("passed", "exit code 0", 0, 3.21, 3)
    assert (run.output_size, run.output_digest, run.commit, run.ci_url) == (
        14,
        digest_of(b"accuracy 0.93\n"),
        None,
        "https://ci/7",
    )
    assert scene.store.run(run.position) == run
    assert scene.store.run_output(run.position) == "accuracy 0.93\n"
    assert scene.store.runs() == scene.store.runs("churn") == [run]


@SCENARIOS.append
def a_run_that_failed_or_can_not_tell_is_kept_and_records_no_link(scene: Scene) -> None:
    churn(scene)
    link = scene.store.link("pca@1.0.0", "forest@1.0.0", evidence="report 7")
    for result in ("failed", "unknown"):
        recorded = scene.store.record_run("churn", new_run(*SET, result=result))
        assert (recorded.links, recorded.kept_invalid, recorded.run.result) == ((), (), result)
    assert scene.store.links() == [link]
    assert [run.result for run in scene.store.runs("churn")] == ["unknown", "failed"]


@SCENARIOS.append
def the_journal_lists_runs_with_their_set_and_result(scene: Scene) -> None:
    churn(scene)
    scene.push("other", "aaa")
    failed = scene.store.record_run("churn", new_run(*SET, result="failed")).run
    passed = scene.store.record_run("churn", new_run(*SET)).run
    for name in ("churn", "pca", "forest"):
        entries = {entry.position: entry for entry in scene.store.log(name)}
        entry = entries[failed.position]
        assert (entry.action, entry.pipeline, entry.versions) == ("run failed", "churn", failed.versions)
        assert entry.text == "python eval.py --data 'a file': exit code 1"
        assert entries[passed.position].action == "run passed"
    assert [entry.action for entry in scene.store.log("other")] == ["stored"]
    assert [entry.action for entry in scene.store.log(limit=3)] == ["valid for", "run passed", "run failed"]


@SCENARIOS.append
def a_link_that_somebody_recorded_as_invalid_is_kept(scene: Scene) -> None:
    churn(scene)
    for downstream in ("forest@1.0.0", "forest@any"):
        invalid = scene.store.link("pca@1.0.0", downstream, valid=False, evidence="drift")
        recorded = scene.store.record_run("churn", new_run(*SET))
        assert (recorded.links, recorded.kept_invalid) == ((), (invalid,))
        assert scene.store.validate("pca@1.0.0", "forest@1.0.0").edges[0].basis == "known-invalid"
        scene.store.unlink("pca@1.0.0", downstream)
    scene.store.link("pca@1.0.0", "forest@any", valid=False)
    scene.store.link("pca@1.0.0", "forest@1.0.0")
    assert len(scene.store.record_run("churn", new_run(*SET)).links) == 1, "the link to exactly this version decides"


@SCENARIOS.append
def the_same_test_again_leaves_its_links_alone(scene: Scene) -> None:
    churn(scene)
    scene.store.link("pca@1.0.0", "forest@1.0.0", evidence="by hand")
    first = scene.store.record_run("churn", new_run(*SET))
    assert len(first.links) == 1, "a run is better evidence than none"
    again = scene.store.record_run("churn", new_run(*SET))
    assert (again.links, again.run.position > first.run.position) == ((), True)
    assert scene.store.links() == list(first.links)
    for other in ({"script": digest_of(b"2")}, {"script": None}, {"command": ("pytest",)}):
        (link,) = scene.store.record_run("churn", new_run(*SET, **other)).links
        assert scene.store.links() == [link]
    (revoked,) = [scene.store.unlink("pca@1.0.0", "forest@1.0.0")]
    (link,) = scene.store.record_run("churn", new_run(*SET, command=("pytest",))).links
    assert link.position > revoked.position


@SCENARIOS.append
def runs_are_listed_newest_first_by_what_they_are_about(scene: Scene) -> None:
    churn(scene)
    scene.store.register_pipeline("alone", ["pca"])
    store = scene.store
    one = store.record_run("churn", new_run(*SET)).run
    two = store.record_run("churn", new_run("pca@1.0.1", "forest@1.0.0", result="failed", script=None)).run
    three = store.record_run("alone", new_run("pca@1.0.0", edges=(), command=("pytest",))).run
    assert store.runs() == [three, two, one]
    assert store.runs(limit=2) == [three, two]
    assert store.runs("churn") == [two, one]
    assert store.runs(version="pca@1.0.0") == [three, one]
    assert store.runs("churn", version="pca") == store.runs(result="failed") == [two]
    assert store.runs(set=one.set) == store.runs(command=COMMAND, script=SCRIPT, result="passed") == [one]
    assert store.runs(command=COMMAND) == [two, one]
    assert store.runs(command=("python",)) == store.runs("churn", set=three.set) == []
    calls: dict[type[errors.OpStoreError], Callable[[], object]] = {
        errors.PipelineNotFound: lambda: store.runs("chrun"),
        errors.VersionNotFound: lambda: store.runs(version="pca@9.9.9"),
        errors.OpNotFound: lambda: store.runs(version="pac"),
        errors.InvalidDigest: lambda: store.runs(set="sha256:1"),
        errors.InvalidRequest: lambda: store.runs(limit=0),
    }
    for refused, call in calls.items():
        with pytest.raises(refused):
            call()


@SCENARIOS.append
def a_pipeline_of_one_op_has_runs_without_links(scene: Scene) -> None:
    scene.push("pca", "aaa")
    scene.store.register_pipeline("alone", ["pca"])
    recorded = scene.store.record_run("alone", new_run("pca@1.0.0", edges=()))
    assert (recorded.links, recorded.kept_invalid) == ((), ())
    assert recorded.run.set == set_digest([], {"pca": spelt("aaa")})


@SCENARIOS.append
def a_run_on_another_graph_than_the_pipeline_has_is_a_conflict_and_leaves_nothing(scene: Scene) -> None:
    churn(scene)
    scene.push("boost", "aaa")
    scene.store.remove_pipeline("churn")
    run = new_run(*SET)
    with pytest.raises(errors.PipelineNotFound):
        scene.store.record_run("churn", run)
    scene.store.register_pipeline("churn", edges=[("forest", "pca"), ("boost", "pca")])
    before = scene.has()
    with pytest.raises(errors.PipelineChanged) as refused:
        scene.store.record_run("churn", run)
    assert str(refused.value) == (
        "nothing was recorded: the pipeline churn has another graph than the run:"
        " it lacks pca -> forest, it has boost, it has boost -> pca, it has forest -> pca"
    )
    scene.store.register_pipeline("loose", ["pca"])
    with pytest.raises(errors.PipelineChanged, match="it lacks forest"):
        scene.store.record_run("loose", new_run(*SET, edges=()))
    assert scene.has()[0]["run"] == before[0]["run"] == 0
    scene.store.remove_pipeline("churn")
    scene.store.register_pipeline("churn", ["pca", "forest"])
    assert len(scene.store.record_run("churn", run).links) == 1, "it has that graph again"


@SCENARIOS.append
def what_is_no_set_of_versions_is_refused_and_leaves_nothing(scene: Scene) -> None:
    churn(scene)
    scene.push("boost", "aaa")
    scene.store.tag("pca@1.0.0", "prod")
    before = scene.has()
    digest = scene.store.show("pca@1.0.0").digest
    cases: list[tuple[tuple[str, ...], type[errors.OpStoreError], str]] = [
        (("pca@prod", "forest@1.0.0"), errors.InvalidRequest, "by number, such as pca@1.0.0, not pca@prod"),
        (("pca", "forest@1.0.0"), errors.InvalidRequest, "not pca"),
        (("pca@latest", "forest@1.0.0"), errors.InvalidRequest, "not pca@latest"),
        (("pca@1.0", "forest@1.0.0"), errors.InvalidRequest, "not pca@1.0"),
        (("pca@>=1", "forest@1.0.0"), errors.InvalidRequest, "not pca@>=1"),
        ((f"pca@{digest}", "forest@1.0.0"), errors.InvalidRequest, "not pca@sha256"),
        (("pca@any", "forest@1.0.0"), errors.InvalidRequest, "not pca@any"),
        (("pca@9.9.9", "forest@1.0.0"), errors.VersionNotFound, "no version of pca matches 9.9.9"),
        (("pca@1.0.0", "pca@1.0.1", "forest@1.0.0"), errors.InvalidRequest, "two versions of pca"),
        (("pca@1.0.0",), errors.InvalidRequest, "no version of forest, which is in its edges"),
        ((), errors.InvalidRequest, "no version of pca"),
        ((*SET, "boost@1.0.0"), errors.PipelineChanged, "it lacks boost"),
        ((*SET, "nobody@1.0.0"), errors.PipelineChanged, "it lacks nobody"),
        (("Pca@1.0.0", "forest@1.0.0"), errors.InvalidName, "use pca"),
    ]
    for versions, kind, words in cases:
        with pytest.raises(kind) as refused:
            scene.store.record_run("churn", new_run(*versions))
        assert words in f"{refused.value} {refused.value.advice}", versions
    for name in ("chrun", "pca"):
        with pytest.raises(errors.PipelineNotFound):
            scene.store.record_run(name, new_run(*SET))
    for result, code in (("passed", 1), ("failed", 0)):
        with pytest.raises(errors.InvalidRequest, match=f"a run with exit code {code} has not {result}"):
            scene.store.record_run("churn", new_run(*SET, result=result, exit_code=code))
    with pytest.raises(errors.InvalidRequest, match=f"at most {MAX_COMMAND} characters"):
        scene.store.record_run("churn", new_run(*SET, command=("x" * 16384,) * 5))
    assert scene.has() == before


@SCENARIOS.append
def the_output_may_be_anything_that_a_program_prints(scene: Scene) -> None:
    churn(scene)
    for output in ("", "\0\x1b[31m\r\n\u202e\ufeff\N{SNOWMAN}\U0001f600", "\N{SNOWMAN}" * MAX_OUTPUT):
        run = scene.store.record_run("churn", new_run(*SET, output=output)).run
        assert scene.store.run_output(run.position) == output


@SCENARIOS.append
def a_run_may_be_on_yanked_versions_because_it_names_them(scene: Scene) -> None:
    churn(scene)
    scene.store.yank("pca@1.0.0", "drift")
    recorded = scene.store.record_run("churn", new_run(*SET))
    assert len(recorded.links) == 1
    assert scene.store.runs(version="pca@1.0.0") == [recorded.run]


@SCENARIOS.append
def no_other_entry_of_the_journal_is_a_run(scene: Scene) -> None:
    churn(scene)
    run = scene.store.record_run("churn", new_run(*SET)).run
    for position in (0, run.position - 1, run.position + 1, run.position + 2, 10**17):
        calls: list[Any] = [scene.store.run, scene.store.run_output]
        for call in calls:
            with pytest.raises(errors.RunNotFound, match=rf"there is no run {position}\b"):
                call(position)


@SCENARIOS.append
def a_past_state_has_the_links_of_the_runs_until_then(scene: Scene) -> None:
    churn(scene)
    first = scene.store.record_run("churn", new_run(*SET)).links[0]
    second = scene.store.record_run("churn", new_run(*SET, command=("pytest",))).links[0]
    assert (first.run, second.run) == (first.position - 1, second.position - 1)
    assert scene.store.links(as_of=str(first.position)) == [first]
    assert scene.store.links() == [second]
    assert [link.run for link in scene.store.links(history=True)] == [second.run, first.run]
    assert scene.store.validate_pipeline("churn", as_of=str(first.position)).position == first.position
