"""`opstore verify`: a command runs on a set of versions, and what it shows is recorded."""

import json
import os
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.figures import few
from tests.support.machines import Machine, a_machine
from tests.support.processes import is_running
from tests.support.waiting import wait_for


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """Return a machine with a running daemon, and a folder of its own for temporary files."""
    with a_machine(tmp_path_factory.mktemp("verify") / "machine", in_process=True) as made:
        temporary = made.folder / "tmp"
        temporary.mkdir()
        made.environment["TMPDIR"] = str(temporary)
        made.do("start")
        yield made


@pytest.fixture
def machine(shared: Machine) -> Iterator[Machine]:
    """Return the machine with a new pipeline `churn` of two ops; nothing temporary may be left."""
    with shared.client() as client:
        for name in ("forest", "pca"):
            client.push(name, f"{name:10}".encode(), bump="major", new=True)
        client.register_pipeline("churn", ["pca", "forest"])
    yield shared
    assert list((shared.folder / "tmp").iterdir()) == []


def verify(machine: Machine, *words: str) -> tuple[int, Any, Any]:
    """Run it with --json; return exit code, document and error."""
    return machine.documents(*machine.run("verify", "churn", "--json", *words))


def python(code: str) -> tuple[str, str, str]:
    return sys.executable, "-c", code


def latest(machine: Machine) -> dict[str, str]:
    with machine.client() as client:
        return {op: client.show(op).version for op in ("pca", "forest")}


def test_a_command_that_passes_makes_every_edge_valid(machine: Machine) -> None:
    versions = latest(machine)
    code, out, err = machine.run("verify", "churn", "--run", *python("print('accuracy 0.91')"))
    number = out.split("\t")[0]
    pca, forest = f"pca@{versions['pca']}", f"forest@{versions['forest']}"
    assert (code, out) == (0, f"{number}\tpassed\texit code 0\n")
    assert re.sub(r"opstore-run-\w+", "TEMPORARY", err) == (
        f"pulled {pca}, {forest}: 20 B in /machine/tmp/TEMPORARY/ops\n"
        "accuracy 0.91\n"
        f"{pca} is valid for {forest}\n"
        f"what the command printed: opstore runs --output {number}\n"
    )
    assert machine.do("validate", "churn", "-q") == "valid"
    (link,) = machine.ask("links", "pca")[1]["links"][:1]
    assert (link["run"], link["evidence"].startswith(f"run {number}: ")) == (int(number), True)


@pytest.mark.parametrize(
    ("end", "exit_code", "result", "reason"),
    few(
        3,
        [
            ("sys.exit(1)", 1, "failed", "exit code 1"),
            ("sys.exit(77)", 1, "failed", "exit code 77"),
            ("sys.exit(125)", 3, "unknown", "exit code 125: it can't tell"),
            ("os.kill(os.getpid(), 9)", 1, "failed", "it was killed by SIGKILL"),
        ],
    ),
)
def test_a_command_that_does_not_pass_records_no_link(
    machine: Machine, end: str, exit_code: int, result: str, reason: str
) -> None:
    code, document, error = verify(machine, "--run", *python(f"import os, sys; print(sys.path); {end}"))
    assert (code, error) == (exit_code, None)
    assert (document["run"]["result"], document["run"]["reason"]) == (result, reason)
    assert document["verdict"] == {"failed": "invalid", "unknown": "unknown"}[result]
    assert (document["links"], document["kept_invalid"]) == ([], [])
    with machine.client() as client:
        assert not client.validate_pipeline("churn")


SHOW = """
import json, os, stat, sys
ours = ("OPSTORE_HOME", "OPSTORE_AUTHOR")
names = sorted(name for name in os.environ if name.startswith("OPSTORE_") and name not in ours)
paths = {name: os.environ[name] for name in names}
folder = paths["OPSTORE_DIR"]
json.dump({"paths": paths, "folder": sorted(os.listdir(folder)),
    "modes": [oct(stat.S_IMODE(os.stat(os.path.join(folder, name)).st_mode)) for name in ("", "forest", "pca")],
    "lock": open(paths["OPSTORE_LOCK"]).read(), "input": sys.stdin.read(), "cwd": os.getcwd(),
    "terminal": os.path.exists("/dev/tty") and os.access("/dev/tty", os.R_OK)}, open("shown.json", "w"))
"""


def test_the_command_gets_the_paths_of_read_only_copies(machine: Machine) -> None:
    machine.file("eval.py", SHOW)
    assert machine.do("verify", "churn", "-q", "--run", sys.executable, "eval.py") == "passed"
    shown: dict[str, Any] = json.loads((machine.cwd / "shown.json").read_text())
    folder = shown["paths"]["OPSTORE_DIR"]
    assert shown["paths"] == {
        "OPSTORE_DIR": folder,
        "OPSTORE_LOCK": f"{os.path.dirname(folder)}/opstore.lock",
        "OPSTORE_OP_FOREST": f"{folder}/forest",
        "OPSTORE_OP_PCA": f"{folder}/pca",
    }
    assert (shown["folder"], shown["modes"]) == (["forest", "pca"], ["0o500", "0o444", "0o444"])
    assert shown["lock"].count("[[version]]") == 2
    assert (shown["input"], shown["cwd"]) == ("", str(machine.cwd))


def test_a_command_that_can_not_be_started_runs_and_pulls_nothing(other: Machine) -> None:
    other.file("eval.sh", "exit 0\n")
    for words, reason, hint in (
        (("nowhere",), "No such file or directory", ""),
        (("./eval.sh",), "Permission denied", "hint: to make it executable: chmod +x ./eval.sh\n"),
        (("eval.sh",), "No such file or directory", "hint: for the file in this folder: ./eval.sh\n"),
    ):
        said = f"error: the command {words[0]} can't be started: {reason}\n{hint}"
        assert other.run("verify", "churn", "--run", *words) == (2, "", said)
    assert not other.runtime_file.exists()


def test_a_file_that_only_its_start_refuses_records_nothing(machine: Machine) -> None:
    machine.file("broken", "#!/nowhere/at/all\n").chmod(0o755)
    before = machine.do("log", "--limit", "1")
    code, out, err = machine.run("verify", "churn", "--run", "./broken")
    assert (code, out) == (2, "")
    message, advice = err.splitlines()[-2:]
    assert message == "error: the command ./broken can't be started: No such file or directory"
    assert advice == "hint: its first line has to name a program that runs it, such as: #!/bin/sh"
    assert machine.do("log", "--limit", "1") == before


def test_a_changed_file_or_script_shows_nothing(machine: Machine) -> None:
    change = "import os; p = os.environ['OPSTORE_OP_PCA']; os.chmod(p, 0o644); open(p, 'w').write('mine')"
    code, document, _ = verify(machine, "--run", *python(change))
    assert (code, document["run"]["result"]) == (3, "unknown")
    expected = "the files of pca changed while it ran, so its result (exit code 0) shows nothing"
    assert document["run"]["reason"] == expected
    machine.file("eval.py", "open('eval.py', 'a').write('1')\n")
    code, document, _ = verify(machine, "--run", sys.executable, "eval.py")
    assert (code, document["run"]["result"]) == (3, "unknown")
    assert document["run"]["reason"].startswith("the script eval.py changed while it ran")


@pytest.mark.slow
def test_a_command_that_takes_too_long_shows_nothing(machine: Machine) -> None:
    code, document, _ = verify(machine, "--timeout", "1s", "--run", "sh", "-c", "sleep 600 & wait")
    assert (code, document["run"]["result"]) == (3, "unknown")
    assert (document["run"]["reason"], document["run"]["exit_code"]) == ("it did not end within 1 s", None)


def test_repetitions_have_to_agree(machine: Machine) -> None:
    counting = (
        "import os; n = len(os.listdir('runs')); open(f'runs/{n}', 'w'); print('run', n); raise SystemExit(n == 2)"
    )
    (machine.cwd / "runs").mkdir()
    code, document, _ = verify(machine, "--repeat", "5", "--run", *python(counting))
    assert (code, document["run"]["result"], document["run"]["repeat"]) == (3, "unknown", 3)
    assert document["run"]["reason"] == ("flaky: repetition 1 passed (exit code 0), repetition 3 failed (exit code 1)")
    code, document, _ = verify(machine, "--repeat", "2", "--run", "true")
    assert (code, document["run"]["reason"], document["run"]["repeat"]) == (0, "exit code 0", 2)
    for path in (machine.cwd / "runs").iterdir():
        path.unlink()
    (machine.cwd / "runs").rmdir()


def test_an_edge_that_somebody_recorded_as_invalid_stays(machine: Machine) -> None:
    versions = latest(machine)
    pca, forest = f"pca@{versions['pca']}", f"forest@{versions['forest']}"
    machine.do("link", pca, forest, "--invalid", "--evidence", "drifts")
    code, out, err = machine.run("verify", "churn", "--run", "true")
    position = machine.ask("links", "pca")[1]["links"][0]["position"]
    assert (code, out.split("\t")[1]) == (1, "passed")
    assert err.splitlines()[-1] == (
        f"{pca} is known not to be valid for {forest}: recorded by ana at position {position} (drifts)."
        f" No run reverses that; if it is wrong: opstore link {pca} {forest}"
    )
    code, document, _ = verify(machine, "--run", "true")
    assert (code, document["verdict"], document["run"]["result"]) == (1, "invalid", "passed")
    assert machine.run("verify", "churn", "-q", "--run", "true")[:2] == (1, "passed\n")


@pytest.mark.slow
def test_a_pipeline_that_changes_meanwhile_is_a_conflict(machine: Machine) -> None:
    opstore = f"{Path(sys.executable).with_name('opstore')}"
    script = f"{opstore} pipeline remove churn && {opstore} pipeline register churn forest pca"
    before = machine.ask("links")[1]["links"]
    code, document, error = verify(machine, "--run", "sh", "-c", script)
    assert (code, document, error["code"]) == (5, None, "PipelineChanged")
    assert machine.ask("links")[1]["links"] == before
    machine.do("pipeline", "remove", "churn")


def test_a_version_that_is_pushed_meanwhile_is_not_what_ran(machine: Machine) -> None:
    versions = latest(machine)
    opstore = f"{Path(sys.executable).with_name('opstore')}"
    script = f"echo new > new.bin && {opstore} push pca new.bin --new"
    code, document, _ = verify(machine, "--run", "sh", "-c", script)
    assert code == 0
    assert {each["op"]: each["version"] for each in document["run"]["versions"]} == versions
    assert document["links"][0]["upstream_version"] == versions["pca"]
    assert latest(machine)["pca"] != versions["pca"]


def test_the_set_can_be_chosen(machine: Machine) -> None:
    latest_versions = latest(machine)
    old = machine.ask("versions", "pca")[1]["versions"][-1]["version"]
    _, document, _ = verify(machine, "--use", f"pca@{old}", "--run", "true")
    assert document["run"]["versions"][0] == {"op": "pca", "version": old}
    machine.do("resolve", "churn", "--lock", "churn.lock")
    for words in (("--lock", "churn.lock"), ("--resolved",)):
        _, document, _ = verify(machine, *words, "--run", "true")
        assert [each["version"] for each in document["run"]["versions"]] == [old, latest_versions["forest"]]
    (machine.cwd / "churn.lock").unlink()


def test_a_folder_can_stay_with_its_lock(machine: Machine) -> None:
    words = ("verify", "churn", "-d", "kept", "-q", "--run", "sh", "-c", "ls $OPSTORE_DIR; cat $OPSTORE_OP_PCA")
    assert machine.do(*words) == "passed"
    assert sorted(os.listdir(machine.cwd / "kept")) == ["forest", "pca"]
    assert (machine.cwd / "kept.lock").exists()
    machine.do(*words)
    machine.do("push", "pca", machine.file("new.bin", "new"), "--new")
    code, out, err = machine.run(*words)
    assert (code, out) == (5, "")
    assert "kept.lock exists already" in err
    assert machine.do(*words[:2], "-f", *words[2:]) == "passed"
    for path in (*(machine.cwd / "kept").iterdir(), machine.cwd / "kept.lock"):
        path.unlink()
    (machine.cwd / "kept").rmdir()


@pytest.mark.parametrize(
    "words",
    [
        ("verify", "--run", "true"),
        ("verify", "churn"),
        ("verify", "churn", "--run"),
        ("verify", "churn", "--lock", "a", "--resolved", "--run", "true"),
        ("verify", "churn", "--lock", "a", "--use", "pca@1.0.0", "--run", "true"),
        ("verify", "churn", "--force", "--run", "true"),
        ("verify", "churn", "--repeat", "0", "--run", "true"),
        ("verify", "churn", "--timeout", "0s", "--run", "true"),
        ("verify", "churn", "--script", "nowhere", "--run", "true"),
        ("verify", "churn", "--lock", "nowhere", "--run", "true"),
        ("verify", "churn", "--run", "true", b"\xff"),
    ],
)
def test_wrong_usage_runs_nothing(other: Machine, words: tuple[str | bytes, ...]) -> None:
    assert other.run(*words)[:2] == (2, "")
    assert not other.runtime_file.exists()


def test_a_command_without_run_is_answered_with_where_it_belongs(other: Machine) -> None:
    code, out, err = other.run("verify", "churn", "python", "eval.py")
    assert (code, out) == (2, "")
    assert err.endswith("hint: name the command with --run: opstore verify PIPELINE --run CMD\n")


def test_an_option_of_the_command_is_none_of_ours(other: Machine) -> None:
    for words in (("verify", "--run", "pytest", "--json"), ("push", "--from-command", "cat", "--json")):
        assert other.run(*words)[2].startswith("error: give ")


WAITING = 'sleep 600 & echo "$$ $! $OPSTORE_DIR" > started.part; mv started.part started; wait'


@pytest.mark.parametrize(("number", "expected"), few(1, [(signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM)]))
def test_a_signal_ends_the_command_and_records_nothing(machine: Machine, number: signal.Signals, expected: int) -> None:
    before = machine.do("log", "--limit", "1")
    process = machine.begin("verify", "churn", "--run", "sh", "-c", WAITING, start_new_session=True)
    started = machine.cwd / "started"
    wait_for(started.exists, "the command's start")
    command, child, folder = started.read_text().split()
    started.unlink()
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == expected
    wait_for(lambda: not is_running(int(command)) and not is_running(int(child)), "the end of both")
    assert not Path(folder).exists()
    assert machine.do("log", "--limit", "1") == before
    assert b"Traceback" not in err
    if number == signal.SIGINT:
        assert err.endswith(b"nothing was recorded\nerror: interrupted\n")


def test_two_at_once_are_two_runs(machine: Machine) -> None:
    both = [machine.begin("verify", "churn", "--json", "--run", *python("print(1)")) for _ in range(2)]
    documents = [json.loads(process.communicate(timeout=60)[0]) for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert documents[0]["run"]["position"] != documents[1]["run"]["position"]
    assert sum(len(document["links"]) for document in documents) == 1  # the second one had nothing to add
