"""A pipeline whose resolution takes too much work."""

from contextlib import closing

import pytest

from opstore_daemon import OpStoreServer
from opstore_daemon.rules.budget import EDGE_STEPS, STEPS
from opstore_daemon.savers import FileSaver
from tests.daemon.store.test_search_limits import fill_complete
from tests.support.machines import Machine


@pytest.mark.slow
def test_a_pipeline_that_is_too_hard_exits_10(machine: Machine) -> None:
    machine.do("start")
    machine.do("stop")
    home = machine.home
    with closing(OpStoreServer(FileSaver(home / "blobs"), f"sqlite:///{home / 'opstore.db'}")) as server:
        fill_complete(server.store, "hard", 10, 8)

    code, out, err = machine.run("resolve", "hard", "--lock", "opstore.lock")
    assert (code, out) == (10, "")
    limit = f"{STEPS + 45 * EDGE_STEPS:,} steps"
    assert f"error: can't resolve hard within {limit}; the ops that conflict most: hard_op0" in err
    assert err.endswith(
        "hint: opstore resolve hard --use OP@VERSION, with versions of these ops that are valid together\n"
    )
    assert not (machine.cwd / "opstore.lock").exists()

    for words in (
        ("resolve", "hard", "--timeout", "1s"),
        ("pull", "--pipeline", "hard", "-d", "models", "--timeout", "1s"),
    ):
        code, document, error = machine.ask(*words)
        assert (code, document) == (10, None)
        assert error["code"] == "ResolutionTooHard"
        assert error["details"]["limit"] in ("1 s", limit)
    assert not (machine.cwd / "models").exists()
    for command in (("resolve", "hard"), ("pull", "--pipeline", "hard", "-d", "models")):
        code, out, err = machine.run(*command, "--timeout", "0")
        assert (code, out, err.splitlines()[0]) == (2, "", "error: --timeout: it must be at least 1s")
    assert machine.run("pull", "hard_op00", "--timeout", "1s")[0] == 2
