"""Whether exactly the versions of a pipeline's verdict were run together, and what shows the runs of a version."""

import pytest

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.records import Validation
from tests.scenarios.scene import Scenario, Scene
from tests.support.new_run import new_run

SCENARIOS: list[Scenario] = []
EDGES = (("scaler", "pca"), ("pca", "forest"))
SET = ("scaler@1.0.0", "pca@1.0.0", "forest@1.0.0")


def chain(scene: Scene) -> None:
    """Push a version of each op of the pipeline churn: scaler, pca, forest."""
    for op in ("scaler", "pca", "forest"):
        scene.store.push(op, op.encode())
    scene.store.register_pipeline("churn", ["scaler", "pca", "forest"])


def judged(scene: Scene, *use: str, exact_set: bool = True) -> Validation:
    return scene.store.validate_pipeline("churn", use=use, exact_set=exact_set)


@SCENARIOS.append
def pairs_from_several_runs_make_a_set_valid_that_never_ran_as_a_whole(scene: Scene) -> None:
    chain(scene)
    scene.store.push("scaler", b"new scaler")
    scene.store.push("forest", b"new forest")
    one = scene.store.record_run("churn", new_run("scaler@1.0.1", "pca@1.0.0", "forest@1.0.0", edges=EDGES)).run
    scene.store.record_run("churn", new_run("scaler@1.0.0", "pca@1.0.0", "forest@1.0.1", edges=EDGES))
    found = judged(scene, exact_set=False)
    assert (found.verdict, found.run, found.exact_set) == ("valid", None, None)
    assert found.set not in (None, one.set)
    exact = judged(scene)
    assert exact.exact_set is not None
    assert (exact.verdict, exact.exact_set.basis, bool(exact)) == ("unknown", "not-run", False)
    ran = scene.store.record_run("churn", new_run("scaler@1.0.1", "pca@1.0.0", "forest@1.0.1", edges=EDGES)).run
    exact = judged(scene)
    assert exact.exact_set is not None
    assert (exact.verdict, exact.exact_set.basis, exact.run, exact.set) == ("valid", "run", ran, ran.set)
    assert judged(scene, "forest@1.0.0").run == one


@SCENARIOS.append
def the_newest_run_that_could_tell_decides_on_the_set(scene: Scene) -> None:
    chain(scene)
    scene.store.link("scaler", "pca")
    scene.store.link("pca", "forest")
    for results, verdict, basis in (
        (["unknown"], "unknown", "not-run"),
        (["passed"], "valid", "run"),
        (["failed", "unknown"], "invalid", "run-failed"),
        (["passed", "unknown"], "valid", "run"),
    ):
        for result in results:
            scene.store.record_run("churn", new_run(*SET, edges=EDGES, result=result))
        found = judged(scene)
        assert found.exact_set is not None
        assert (found.verdict, found.exact_set.basis) == (verdict, basis)
        assert judged(scene, exact_set=False).verdict == "valid", "the edges are, whatever the runs showed"


@SCENARIOS.append
def a_set_that_passed_is_not_valid_if_an_edge_is_known_to_be_invalid(scene: Scene) -> None:
    chain(scene)
    scene.store.link("scaler", "pca", valid=False)
    scene.store.record_run("churn", new_run(*SET, edges=EDGES))
    found = judged(scene)
    assert found.exact_set is not None
    assert (found.verdict, found.exact_set.verdict) == ("invalid", "valid")


@SCENARIOS.append
def an_incomplete_set_has_no_digest_and_never_ran(scene: Scene) -> None:
    scene.store.push("pca", b"pca")
    scene.store.register_pipeline("churn", ["pca", "forest"])
    found = judged(scene)
    assert (found.set, found.run) == (None, None)
    assert found.exact_set is not None
    assert (found.verdict, found.exact_set.reason) == ("unknown", "forest has no version")
    edge = scene.store.validate("pca", "forest")
    assert (edge.set, edge.run, edge.exact_set) == (None, None, None)


@SCENARIOS.append
def a_run_counts_for_the_same_graph_and_not_for_another_one(scene: Scene) -> None:
    chain(scene)
    run = scene.store.record_run("churn", new_run(*SET, edges=EDGES)).run
    scene.store.register_pipeline("same", ["scaler", "pca", "forest"])
    assert scene.store.validate_pipeline("same", exact_set=True).run == run
    scene.store.remove_pipeline("churn")
    scene.store.register_pipeline("churn", edges=[*EDGES, ("scaler", "forest")])
    assert judged(scene).run is None


@SCENARIOS.append
def a_past_state_has_the_runs_of_then(scene: Scene) -> None:
    chain(scene)
    before = scene.store.log(limit=1)[0].position
    run = scene.store.record_run("churn", new_run(*SET, edges=EDGES)).run
    assert scene.store.validate_pipeline("churn", as_of=str(before), exact_set=True).run is None
    now = scene.store.validate_pipeline("churn", as_of=str(run.position), exact_set=True)
    assert (now.run, now.verdict) == (run, "valid")
    assert scene.store.details("pca", as_of=str(before)).runs == ()


@SCENARIOS.append
def a_version_shows_its_newest_runs_also_after_it_was_yanked(scene: Scene) -> None:
    chain(scene)
    results = ["failed", "passed", "unknown", "failed", "passed", "passed"]
    positions = [
        scene.store.record_run("churn", new_run(*SET, edges=EDGES, result=result)).run.position for result in results
    ]
    assert [run.position for run in scene.store.details("pca").runs] == positions[:0:-1]
    scene.store.yank("pca@1.0.0", "broken")
    assert len(scene.store.details("pca@1.0.0").runs) == 5
    assert judged(scene, "pca@1.0.0").verdict == "valid", "a yank changes no verdict"
    assert judged(scene).set is None
    with pytest.raises(errors.RunNotFound):
        scene.store.run(1)
