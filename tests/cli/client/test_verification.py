"""`client.verify`: a command or a function of this process runs on a set, and what it shows is recorded."""

import asyncio
import functools
import hashlib
import linecache
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from opstore_cli import CantTell
from opstore_cli.client.set_runs import Place
from opstore_cli.console.verification import CommandWatcher, write_recorded
from opstore_cli.evidence.script import named_script
from opstore_cli.output.document import Output
from opstore_daemon import OpStoreServer
from opstore_daemon.protocol import errors
from tests.support.in_process import InProcessClient


@pytest.fixture
def client(memory_server: OpStoreServer) -> InProcessClient:
    """A client of a store with a pipeline of two ops that nobody validated."""
    client = InProcessClient(memory_server)
    client.save("pca", [1, 2])
    client.save("forest", {"trees": 3})
    client.register_pipeline("iris", ["pca", "forest"])
    return client


def accurate(paths: Mapping[str, Path]) -> None:
    assert paths["forest"].read_text() == '{"trees": 3}'


def test_a_function_that_returns_nothing_passes(client: InProcessClient) -> None:
    recorded = client.verify("iris", accurate)
    assert recorded
    assert client.validate_pipeline("iris")
    run = recorded.run
    assert (run.result, run.reason, run.exit_code) == ("passed", "it returned None", None)
    assert run.command == (f"python:{__name__}.accurate",)
    assert run.script == named_script(__file__).digest
    assert [str(each) for each in run.versions] == ["pca@1.0.0", "forest@1.0.0"]
    assert [link.run for link in recorded.links] == [run.position]


class _WithoutText(Exception):
    def __str__(self) -> str:
        raise RuntimeError("there is none")


@pytest.mark.parametrize(
    ("returned", "result", "reason"),
    [
        (True, "passed", "it returned True"),
        (np.True_, "passed", "it returned True"),
        (False, "failed", "it returned False"),
        (np.False_, "failed", "it returned False"),
        (ValueError("accuracy 0.4\nis low"), "failed", "it raised ValueError: accuracy 0.4 is low"),
        (AssertionError(), "failed", "it raised AssertionError"),
        (CantTell("no data"), "unknown", "it can't tell: no data"),
        (CantTell(), "unknown", "it can't tell"),
        (SystemExit(0), "failed", "it raised SystemExit: 0"),
        (ValueError("\ud800\x1b[31m red\0"), "failed", "it raised ValueError: \ufffd\ufffd[31m red\ufffd"),
        (_WithoutText(), "failed", "it raised _WithoutText"),
    ],
)
def test_what_a_function_returns_or_raises_is_its_result(
    client: InProcessClient, returned: object, result: str, reason: str
) -> None:
    def function(paths: Mapping[str, Path]) -> object:
        if isinstance(returned, BaseException):
            raise returned
        return returned

    recorded = client.verify("iris", function)
    assert (recorded.run.result, recorded.run.reason) == (result, reason)
    assert bool(recorded) == (result == "passed") == bool(recorded.links)
    output = client.run_output(recorded.run.position)
    assert ("in function\n    raise returned" in output) == (result == "failed" and "raised" in reason)


def test_a_function_that_returns_anything_else_is_refused_and_records_nothing(client: InProcessClient) -> None:
    with pytest.raises(errors.InvalidArgument, match="True, False or None, not one that returned float"):
        client.verify("iris", lambda paths: 0.9)
    with pytest.raises(errors.InvalidArgument, match="coroutine"):
        client.verify("iris", asyncio.sleep)  # type: ignore[arg-type]
    with pytest.raises(errors.InvalidRequest, match="timeout is for commands"):
        client.verify("iris", accurate, timeout=5)
    with pytest.raises(KeyboardInterrupt):
        client.verify("iris", interrupted)
    assert client.runs() == []


def interrupted(paths: Mapping[str, Path]) -> None:
    raise KeyboardInterrupt


def test_a_function_may_get_the_objects(client: InProcessClient) -> None:
    client.register("scaler", fields={"major": {"columns": "2"}})
    client.register_pipeline("all", ["scaler", "pca", "forest"])
    seen: list[Any] = []
    assert client.verify("all", seen.append, load=True)
    assert seen == [{"pca": [1, 2], "forest": {"trees": 3}}]
    with pytest.raises(errors.InvalidRequest, match="load=True is for a function"):
        client.verify("iris", ["true"], load=True)


def test_a_function_without_a_file_has_the_digest_of_its_source(client: InProcessClient) -> None:
    source = "def exact(tolerance, paths):\n    return tolerance == 0\n"
    names: dict[str, Any] = {"__name__": "__main__"}
    cell = "/tmp/ipykernel_1/1.py"  # noqa: S108 - as a notebook names a cell
    linecache.cache[cell] = (len(source), None, source.splitlines(True), cell)
    exec(compile(source, cell, "exec"), names)  # noqa: S102
    run = client.verify("iris", functools.partial(names["exact"], 0)).run
    assert (run.result, run.command, run.script_path) == ("passed", ("python:__main__.exact", "0"), None)
    assert run.script == f"sha256:{hashlib.sha256(source.encode()).hexdigest()}"
    assert client.verify("iris", print).run.script is None  # it is not written in Python


def test_two_lambdas_of_one_file_are_two_commands(client: InProcessClient) -> None:
    one, other = (
        client.verify("iris", lambda paths: True).run,
        client.verify("iris", lambda paths: True).run,
    )
    assert one.command != other.command
    assert one.command[0].startswith(
        f"python:{__name__}.test_two_lambdas_of_one_file_are_two_commands.<locals>.<lambda>:"
    )


def test_a_decorated_function_is_named_after_its_own_file(client: InProcessClient) -> None:
    decorators: dict[str, Any] = {"functools": functools}
    exec(  # noqa: S102 - a function of another file
        "def quiet(function):\n    return functools.wraps(function)(lambda *given: function(*given))", decorators
    )
    run = client.verify("iris", decorators["quiet"](accurate)).run
    assert (run.result, run.command) == ("passed", (f"python:{__name__}.accurate",))
    assert run.script == named_script(__file__).digest


def test_other_arguments_of_a_function_are_another_test(client: InProcessClient) -> None:
    def evaluate(least: float, paths: Mapping[str, Path], *, names: object = None) -> bool:
        return least < 1

    partials = (
        functools.partial(evaluate, 0.5),
        functools.partial(evaluate, 0.6, names=("a", "b")),
        functools.partial(evaluate, 0.6, names="c" * 300),
    )
    commands = [client.verify("iris", each).run.command[1:] for each in partials]
    assert commands[:2] == [("0.5",), ("0.6", "names=('a', 'b')")]
    assert commands[2] == ("0.6", f"names=sha256:{hashlib.sha256(repr('c' * 300).encode()).hexdigest()}")


def test_edges_that_were_valid_before_are_noted_unless_there_are_none(
    client: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    client.register_pipeline("single", ["pca"])
    for pipeline in ("single", "iris", "iris"):
        recorded = client.verify(pipeline, accurate if pipeline == "iris" else all)
        capsys.readouterr()
        write_recorded(Output(), client, recorded)
        noted = "every edge was valid before" in capsys.readouterr().err
        assert noted == (pipeline == "iris" and not recorded.links)


def test_a_result_that_can_not_be_recorded_is_told(client: InProcessClient, capsys: pytest.CaptureFixture[str]) -> None:
    def change(paths: Mapping[str, Path]) -> None:
        client.remove_pipeline("iris")
        client.register_pipeline("iris", ["forest", "pca"])

    client.progress = True
    with pytest.raises(errors.PipelineChanged):
        client.verify("iris", change)
    assert capsys.readouterr().err.endswith("it passed (it returned None), but that could not be recorded\n")
    assert client.runs() == []


def test_a_result_whose_request_was_lost_may_have_been_recorded(
    client: InProcessClient, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def lose(*_: object) -> None:
        raise errors.ConnectionLost(url="http://host", reason="no response within the timeout")

    def no_data(paths: Mapping[str, Path]) -> None:
        raise CantTell("no data")

    client.progress = True
    monkeypatch.setattr(client, "record_run", lose)
    with pytest.raises(errors.ConnectionLost):
        client.verify("iris", no_data)
    assert capsys.readouterr().err.splitlines()[-1] == (
        "it could not tell (it can't tell: no data); the run may have been recorded: opstore runs shows it if it was"
    )


@pytest.mark.parametrize(
    ("verb", "note"),
    [
        ("show", "nothing was recorded"),
        ("record_run", "the run may have been recorded: opstore runs shows it if it was"),
    ],
)
def test_after_an_interrupt_nothing_is_claimed_that_nobody_knows(
    client: InProcessClient,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    verb: str,
    note: str,
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    watcher = CommandWatcher(Output())
    monkeypatch.setattr(client, verb, interrupt)
    with pytest.raises(KeyboardInterrupt):
        client._verify("iris", client._runnable(accurate, None), watcher, place=Place())
    watcher.note_interrupted()
    assert capsys.readouterr().err.splitlines()[-1] == note


def test_a_folder_without_a_name_is_refused(client: InProcessClient) -> None:
    with pytest.raises(errors.FileRefused, match="its lock would be beside it"):
        client.verify("iris", accurate, folder="/")


def test_a_temporary_folder_that_can_not_be_written_says_how_to_choose_another(
    client: InProcessClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise errors.OutputFailed(path="/tmp/opstore-run-x/ops", reason="No space left on device")  # noqa: S108

    monkeypatch.setattr("opstore_cli.client.set_runs.pull_set", full)
    with pytest.raises(errors.OutputFailed) as caught:
        client.verify("iris", accurate)
    assert "TMPDIR" in caught.value.advice
    assert "folder=... pulls to another folder" in "".join(caught.value.__notes__)


def test_a_function_that_changes_a_file_shows_nothing(client: InProcessClient) -> None:
    def change(paths: Mapping[str, Path]) -> None:
        paths["pca"].chmod(0o644)
        paths["pca"].write_text("[1, 3]")

    run = client.verify("iris", change).run
    assert (run.result, run.reason) == (
        "unknown",
        "the files of pca changed while it ran, so its result (it returned None) shows nothing",
    )


@pytest.mark.slow
def test_a_reason_that_names_many_files_is_cut(client: InProcessClient) -> None:
    ops = [f"{'long' * 30}-{number}" for number in range(40)]
    for op in ops:
        client.push(op, b"x")
    client.register_pipeline("wide", ops)

    def change(paths: Mapping[str, Path]) -> None:
        for path in paths.values():
            path.unlink()

    run = client.verify("wide", change).run
    assert (run.result, len(run.reason), run.reason[-1]) == ("unknown", 4096, "\N{HORIZONTAL ELLIPSIS}")


def test_a_command_is_a_sequence_of_words(client: InProcessClient) -> None:
    recorded = client.verify("iris", [sys.executable, "-c", "print('ok')"], repeat=2)
    assert recorded
    assert (recorded.run.exit_code, recorded.run.repeat) == (0, 2)
    assert client.run_output(recorded.run.position) == "ok\nok\n"
    with pytest.raises(errors.InvalidArgument, match="must be a sequence of words, or a function, not str") as caught:
        client.verify("iris", "python eval.py --fast")
    assert "pass ['python', 'eval.py', '--fast']" in caught.value.advice
    for wrong in ([], ["a\0b"], ["x" * 20_000], ["x"] * 1001, [b"true"], 5, {"sh", "-c"}):
        with pytest.raises(errors.Refused):
            client.verify("iris", wrong)  # type: ignore[arg-type]
    limits: list[dict[str, Any]] = [{"repeat": 0}, {"timeout": 0}, {"repeat": 1.5}, {"script_path": "nowhere"}]
    for options in limits:
        with pytest.raises(errors.Refused):
            client.verify("iris", ["true"], **options)
    assert len(client.runs()) == 1


def test_the_set_can_be_chosen(client: InProcessClient, tmp_path: Path) -> None:
    assert client.verify("iris", accurate)
    client.save("pca", [1, 2, 3])
    lock = tmp_path / "opstore.lock"
    client.write_lock(client.resolve("iris"), lock)
    chosen: list[dict[str, Any]] = [
        {"lock": lock},
        {"lock": client.read_lock(lock)},
        {"resolved": True},
        {"use": "pca@1.0.0"},
    ]
    for options in chosen:
        run = client.verify("iris", accurate, **options).run
        assert [str(each) for each in run.versions] == ["pca@1.0.0", "forest@1.0.0"]
    assert str(client.verify("iris", accurate).run.versions[0]) == "pca@1.0.1"
    conflicts: list[dict[str, Any]] = [{"lock": lock, "resolved": True}, {"lock": lock, "use": "pca@1.0.0"}]
    for wrong in conflicts:
        with pytest.raises(errors.InvalidRequest, match="mutually exclusive"):
            client.verify("iris", accurate, **wrong)
    client.register_pipeline("other", ["forest", "pca"])
    with pytest.raises(errors.InvalidRequest, match="a lock of iris, not of other"):
        client.verify("other", accurate, lock=lock)
    with pytest.raises(errors.PipelineChanged):
        client.verify("other", accurate, lock=client.read_lock(lock))


def test_an_op_without_versions_can_not_run(client: InProcessClient) -> None:
    client.register_pipeline("new", ["pca", "booster"])
    with pytest.raises(errors.NotFound, match="booster has no version yet"):
        client.verify("new", accurate)
    with pytest.raises(errors.PipelineNotFound):
        client.verify("nothing", accurate)


def test_a_folder_can_stay(client: InProcessClient, tmp_path: Path) -> None:
    assert client.verify("iris", accurate, folder=tmp_path / "kept")
    assert sorted(os.listdir(tmp_path)) == ["kept", "kept.lock"]
    client.save("pca", [4])
    with pytest.raises(errors.OutputExists):
        client.verify("iris", accurate, folder=tmp_path / "kept")
    assert client.verify("iris", accurate, folder=tmp_path / "kept", overwrite=True)


def test_what_a_person_watches_is_shown(client: InProcessClient, capsys: pytest.CaptureFixture[str]) -> None:
    client.verify("iris", ["echo", "accuracy 0.91"])
    assert capsys.readouterr().err == ""
    client.progress = True
    client.verify("iris", ["echo", "accuracy 0.91"])
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("pulled pca@1.0.0, forest@1.0.0 to ")
    assert second == "accuracy 0.91"


def test_an_edge_that_stays_invalid_makes_the_result_false(client: InProcessClient) -> None:
    client.link("pca@1.0.0", "forest@1.0.0", valid=False)
    recorded = client.verify("iris", accurate)
    assert recorded.run.result == "passed"
    assert not recorded
    assert [str(link) for link in recorded.kept_invalid] == ["pca@1.0.0 -> forest@1.0.0: invalid"]
