"""Verdicts, locks and resolutions of a pipeline of five ops, whose third generation has an unvalidated edge."""

import re
import subprocess
import threading
from pathlib import Path

import pytest

from opstore_cli import OpStoreClient
from opstore_cli.client import polling
from opstore_daemon.protocol.records import Validation
from tests.support.figures import few
from tests.support.machines import Machine

OPS = ("scaler", "pca", "embedder", "forest", "report")


def generation(machine: Machine, number: int, *, broken: str | None = None) -> None:
    """Push a new major version of every op, each valid with its upstream, except the op after `broken`."""
    before: str | None = None
    for op in OPS:
        file = machine.file("op", f"{op} {number}")
        trained_on = [] if before in (None, broken) else ["--valid-with", str(before)]
        machine.do("push", op, file, "--bump", "major", *trained_on)
        before = op


@pytest.fixture
def deployed(machine: Machine) -> Machine:
    """Return a machine with two valid generations, and a third whose embedder is not validated for the forest."""
    generation(machine, 1)
    machine.do("pipeline", "register", "churn", *OPS)
    generation(machine, 2)
    generation(machine, 3, broken="embedder")
    return machine


@pytest.mark.slow
def test_a_pipeline_with_a_broken_op_is_diagnosed_resolved_and_rolled_back(deployed: Machine) -> None:
    machine = deployed
    refused = "embedder 3.0.0 is not validated for forest 3.0.0; last validated: 2.0.0 for forest 2.0.0"
    code, out, err = machine.run("validate", "churn")
    never_ran = "no run says whether exactly these versions work together: opstore verify churn --run CMD\n"
    assert (code, err) == (1, f"the pipeline churn is invalid\n{never_ran}")
    assert f"embedder@3.0.0 -> forest@3.0.0\tinvalid\tnot-validated\t{refused}\n" in out
    assert machine.run("affected", "embedder") == (
        1,
        f"forest@3.0.0\tinvalid\tnot-validated\t{refused}\n"
        "report@3.0.0\tunknown\tupstream-affected\t"
        "its upstream forest is affected, and its replacement is not validated yet\n",
        "",
    )
    code, out, err = machine.run("resolve", "churn", "-q", "--lock", "opstore.lock")
    assert (code, out.split()) == (0, [f"{op}@2.0.0" for op in OPS])
    code, out, err = machine.run("resolve", "churn", "--lock", "opstore.lock")
    assert code == 0
    assert [line for line in err.splitlines() if "embedder@3.0.0" in line] == [
        "skipped embedder@3.0.0: embedder 3.0.0 is not validated for forest 2.0.0; "
        "last validated: 2.0.0 for forest 2.0.0"
    ]
    assert err.endswith("opstore.lock is up to date\n")
    code, out, _ = machine.run("tag", "--lock", "opstore.lock", "production")
    assert (code, out) == (0, "".join(f"{op}@2.0.0 is production\n" for op in OPS))
    assert machine.do("show", "-q", "embedder@production") == "embedder@2.0.0"
    before = machine.ask("links")[1]["links"][0]["position"]
    machine.do("unlink", "pca@2.0.0", "embedder@2.0.0")
    code, out, err = machine.run("resolve", "--check", "opstore.lock")
    assert (code, out) == (
        1,
        "pca -> embedder is invalid: pca 2.0.0 is not validated for embedder 2.0.0; "
        "last validated: 3.0.0 for embedder 3.0.0\n",
    )
    assert err == ("error: the lock opstore.lock is out of date\nhint: opstore resolve churn --lock opstore.lock\n")
    machine.do("yank", "pca@2.0.0", "--reason", "the wrong columns")
    code, out, err = machine.run("pull", "--lock", "opstore.lock", "-d", "models")
    assert (code, out) == (0, "".join(f"models/{op}\n" for op in OPS))
    assert err == "warning: pca@2.0.0 is yanked: the wrong columns\n"
    assert (machine.cwd / "models" / "embedder").read_bytes() == b"embedder 2"
    use = [word for op in OPS for word in ("--use", f"{op}@2.0.0")]
    assert machine.run("validate", "churn", *use, "-q")[:2] == (1, "invalid\n")
    assert machine.run("validate", "churn", *use, "--as-of", str(before), "-q")[:2] == (0, "valid\n")


@pytest.mark.slow
def test_a_lock_is_reproducible_and_a_second_pull_fetches_only_missing_files(deployed: Machine) -> None:
    machine = deployed
    machine.do("resolve", "churn", "--lock", "one.lock")
    machine.do("resolve", "churn", "--lock", "two.lock")
    assert (machine.cwd / "one.lock").read_bytes() == (machine.cwd / "two.lock").read_bytes()
    machine.do("pull", "--lock", "one.lock", "-d", "models")
    (machine.cwd / "models" / "pca").unlink()
    before = machine.log().count("/bytes 20")
    machine.do("pull", "--lock", "one.lock", "-d", "models")
    assert machine.log().count("/bytes 20") == before + 1
    (machine.cwd / "models" / "pca").write_bytes(b"another")
    code, _, err = machine.run("pull", "--lock", "one.lock", "-d", "models")
    assert (code, err.splitlines()[0]) == (5, "error: models/pca exists already")
    machine.do("pull", "--lock", "one.lock", "-d", "models", "-f")
    assert (machine.cwd / "models" / "pca").read_bytes() == b"pca 2"


@pytest.mark.slow
def test_an_upgrade_of_a_lock_moves_one_op_and_the_ops_that_depend_on_it(deployed: Machine) -> None:
    machine = deployed
    machine.do("resolve", "churn", "--use", "scaler@1.0.0", "--lock", "opstore.lock")
    lock = (machine.cwd / "opstore.lock").read_text()
    assert lock.count('version = "1.0.0"') == 5
    machine.do("resolve", "--lock", "opstore.lock", "--upgrade", "pca")
    assert (machine.cwd / "opstore.lock").read_text().count('version = "2.0.0"') == 5


@pytest.mark.parametrize(
    "content", ["", "format = 3\npipeline = 'p'\nedges = []\nversion = []\n", "\0", "lock = [", "x = 1"]
)
def test_an_invalid_lock_is_refused(machine: Machine, content: str) -> None:
    path = machine.file("opstore.lock", content)
    for words in (
        ("resolve", "--check", path),
        ("tag", "--lock", path, "production"),
        ("pull", "--lock", path, "-d", "m"),
    ):
        code, out, err = machine.run(*words)
        assert (code, out, err.splitlines()[0].startswith("error: ")) == (2, "", True)
    assert not (machine.cwd / "m").exists()


def test_a_lock_of_the_first_format_says_how_to_write_it_again(machine: Machine) -> None:
    path = machine.file("opstore.lock", "lock = 1\npipeline = 'p'\nedges = []\nversion = []\n")
    reason = "it is not a lock of format 2: it names no format; write it again with opstore resolve --lock"
    assert machine.run("resolve", "--check", path) == (2, "", f"error: /machine/work/opstore.lock: {reason}\n")


def test_a_lock_with_a_different_digest_is_a_conflict_and_changes_nothing(deployed: Machine) -> None:
    machine = deployed
    machine.do("resolve", "churn", "--lock", "opstore.lock")
    path = machine.cwd / "opstore.lock"
    text = path.read_text()
    start = text.index("sha256:", text.index('op = "pca"'))
    changed = text[:start] + "sha256:" + "0" * 64 + text[start + 71 :]
    path.write_text(changed)
    said = "pca@2.0.0 has other bytes in this store than in the lock: DIGEST (5 bytes), not DIGEST (5 bytes)"
    hint = "hint: the lock may be of another store (use its --url); what this store has: opstore show pca@2.0.0\n"
    for words in (
        ("resolve", "--check", "opstore.lock"),
        ("resolve", "--lock", "opstore.lock", "--upgrade", "scaler"),
        ("tag", "--lock", "opstore.lock", "production"),
        ("pull", "--lock", "opstore.lock", "-d", "models"),
    ):
        assert machine.run(*words) == (5, "", f"error: {said}\n{hint}")
    assert (path.read_text(), machine.listing()) == (changed, ["op", "opstore.lock"])
    assert machine.do("tags") == ""


def test_wait_returns_as_soon_as_the_verdict_is_valid_or_known_to_be_invalid(
    deployed: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(polling, "MIN_INTERVAL", 0.01)
    monkeypatch.setattr(polling, "MAX_INTERVAL", 0.02)
    machine = deployed
    with OpStoreClient(machine.url, token=machine.token) as client:
        waited_on = threading.Event()

        def link() -> None:
            waited_on.wait(30)
            with OpStoreClient(machine.url, token=machine.token) as other:
                other.link("embedder@3.0.0", "forest@any")

        linking = threading.Thread(target=link)
        linking.start()
        assert client.wait("churn", seconds=30, notify=lambda _: waited_on.set()).verdict == "valid"
        linking.join()
        client.link("embedder@3.0.0", "forest@any", valid=False)
        assert client.wait("churn", seconds=3600).verdict == "invalid"
        assert client.wait("embedder@3.0.0", "forest", seconds=3600).verdict == "invalid"
        client.unlink("embedder@3.0.0", "forest@any")
        assert client.wait("churn", seconds=0.05).verdict == "invalid"


def test_the_findings_precede_the_error_if_both_streams_are_the_same(machine: Machine) -> None:
    machine.do("start")
    with machine.client() as client:
        client.push("pca", b"one")
        client.push("forest", b"a forest", valid_with=["pca"])
        client.register_pipeline("churn", ["pca", "forest"])
        machine.do("resolve", "churn", "--lock", "opstore.lock")
        client.unlink("pca", "forest@1.0.0")
    code, both, _ = machine.run("resolve", "--check", "opstore.lock", stderr=subprocess.STDOUT)
    assert (code, both) == (
        1,
        "pca -> forest is unknown: no link says whether pca 1.0.0 is valid for forest 1.0.0\n"
        "error: the lock opstore.lock is out of date\n"
        "hint: opstore resolve churn --lock opstore.lock\n",
    )


def test_polling_an_unchanged_verdict_returns_not_modified(deployed: Machine) -> None:
    machine = deployed
    with OpStoreClient(machine.url, token=machine.token) as client:
        path = "/v1/pipelines/churn/verdict"
        found, etag = client._api.get_if_changed(path, Validation, {}, None)
        assert found is not None
        assert client._api.get_if_changed(path, Validation, {}, etag) == (None, etag)
        client.push("stranger", b"of another pipeline")
        assert client._api.get_if_changed(path, Validation, {}, etag) == (None, etag)
        client.set_op("pca", compat="major")
        again, other = client._api.get_if_changed(path, Validation, {}, etag)
        assert again is not None
        assert other != etag


@pytest.mark.parametrize("time", few(1, ["2030-01-01", "2030-01-01T00:00:00Z", "2030-01-01T00:00:00+02:00"]))
def test_as_of_a_future_time_is_the_present_and_before_the_first_push_the_store_is_empty(
    machine: Machine, time: str
) -> None:
    machine.do("push", "pca", machine.file("op", "one"))
    assert machine.do("show", "-q", "pca", "--as-of", time) == "pca@1.0.0"
    code, _, err = machine.run("show", "pca", "--as-of", "2001-01-01")
    assert code == 4
    assert re.fullmatch(
        r"error: there was no op pca at 200\d-\d\d-\d\d \d\d:00:00Z \(2001-01-01\)", err.splitlines()[0]
    )
    err = machine.run("show", "pca", "--as-of", "2 days ago")[2]
    assert re.fullmatch(r"error: there was no op pca at \d{4}-\d\d-\d\d \S+Z \(2 days ago\)", err.splitlines()[0])
    assert machine.run("show", "pca", "--as-of", "someday")[0] == 2
    assert machine.run("versions", "pca", "--as-of", "99999")[0] == 2


def test_a_graph_is_drawn_in_a_terminal_and_as_mermaid(deployed: Machine) -> None:
    code, shown = deployed.on_a_terminal("graph", "churn")
    assert code == 0
    assert "└─ ○ invalid (not-validated) → forest@3.0.0" in shown
    assert "└─ ✓ valid (link) → pca@3.0.0" in shown
    code, plain, _ = deployed.run("graph", "churn")
    assert "  invalid (not-validated) -> forest@3.0.0\t" in plain
    assert all(re.fullmatch(r"[a-z]+@\S+", line) for line in deployed.run("-q", "graph", "churn")[1].splitlines())
    code, mermaid, _ = deployed.run("graph", "churn", "--format", "mermaid")
    assert mermaid.startswith('flowchart LR\n    op0["scaler#64;3#46;0#46;0"]\n')
    assert "    op2 -.-x|invalid, not-validated| op3\n" in mermaid


def test_a_verdict_as_markdown_is_a_table(deployed: Machine) -> None:
    code, out, _ = deployed.run("validate", "churn", "--format", "markdown")
    assert code == 1
    lines = out.splitlines()
    assert lines[0] == "**`churn`: ❌ invalid**"
    assert lines[2:4] == ["No run says whether exactly these versions work together.", ""]
    assert lines[4:6] == ["| upstream | downstream | verdict | basis | reason |", "| --- | --- | --- | --- | --- |"]
    assert all(line.count("|") == 6 for line in lines[4:])
    assert isinstance(deployed.cwd, Path)
