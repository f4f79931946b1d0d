"""What a push says besides the version: what was recorded, what is odd about the bytes, and what was meant."""

import warnings

import pytest

from opstore_cli.client.warnings import NotRecordedWarning
from tests.support.machines import Machine

NOTHING = "nothing new: {} has these bytes already\n"


@pytest.fixture
def pushed(machine: Machine) -> Machine:
    machine.file("pca.bin", "a pca")
    machine.do("push", "pca", "pca.bin", "-m", "the first")
    machine.do("push", "forest", "-", stdin=b"trees")
    return machine


def test_the_note_says_what_was_recorded_and_what_was_not(pushed: Machine) -> None:
    words = ("push", "pca", "pca.bin", "--tag", "best", "--label", "run=1", "--valid-for", "forest@1.0.0")
    assert pushed.run(*words, "-m", "another", "--bump", "major") == (
        0,
        "pca@1.0.0\n",
        "pca@1.0.0 is valid for forest@1.0.0\n"
        + NOTHING.format("pca@1.0.0")
        + "recorded on it: tag best; label run=1\n"
        + "not recorded: the message; opstore edit pca@1.0.0 -m TEXT sets it\n"
        + "no major bump: --new makes a version of the same bytes\n",
    )
    shown = pushed.ask("show", "pca")[1]
    assert (shown["tags"], shown["labels"], shown["message"]) == (["best"], {"run": "1"}, "the first")
    assert len(pushed.ask("links", "pca")[1]["links"]) == 1
    # The message that it has is no loss.
    assert pushed.run("push", "pca", "pca.bin", "-m", "the first")[2] == NOTHING.format("pca@1.0.0")
    assert pushed.run("push", "pca", "pca.bin", "-m", "another", "-q") == (0, "pca@1.0.0\n", "")
    code, out, err = pushed.run("push", "pca", "pca.bin", "--new", "-m", "another")
    assert (code, out, err) == (0, "pca@1.0.1\n", "")
    assert pushed.ask("show", "pca")[1]["message"] == "another"


def test_push_all_says_it_for_each_op(pushed: Machine) -> None:
    (pushed.cwd / "models").mkdir()
    (pushed.cwd / "pca.bin").rename(pushed.cwd / "models/pca.bin")
    code, _, err = pushed.run("push", "--all", "models", "--tag", "best")
    assert (code, err) == (0, NOTHING.format("pca@1.0.0") + "recorded on it: tag best\n")


def test_empty_inputs_are_stored_with_a_warning(pushed: Machine) -> None:
    said = "warning: {}@1.0.0 is empty: it has 0 bytes\n"
    assert pushed.run("push", "a", "-", stdin=b"") == (0, "a@1.0.0\n", said.format("a"))
    pushed.file("empty", "")
    assert pushed.run("push", "b", "empty") == (0, "b@1.0.0\n", said.format("b"))
    (pushed.cwd / "folder").mkdir()
    said = "warning: c@1.0.0 is an empty folder\n"
    assert pushed.run("push", "c", "folder") == (0, "c@1.0.0\n", said)
    assert pushed.run("push", "c", "folder")[2] == said + NOTHING.format("c@1.0.0")


def test_bytes_of_a_yanked_version_are_refused_unless_new(pushed: Machine) -> None:
    pushed.do("yank", "pca", "--reason", "wrong columns")
    hint = "hint: if they are right after all, push them with --new, or undo the yank: opstore unyank pca@1.0.0\n"
    said = f"error: pca@1.0.0 has these bytes, and is yanked: wrong columns\n{hint}"
    assert pushed.run("push", "pca", "pca.bin", "--tag", "best") == (5, "", said)
    assert pushed.do("tags") == ""
    assert pushed.run("push", "pca", "pca.bin", "--new") == (0, "pca@1.0.1\n", "")


def test_python_warns_of_what_was_not_recorded(pushed: Machine) -> None:
    with pushed.client() as client:
        with pytest.warns(NotRecordedWarning) as caught:
            client.push("pca", b"a pca", tags="best", message="another")
        assert str(caught[0].message) == (
            "nothing new: pca@1.0.0 has these bytes already; not recorded: the message; recorded on it: tags; "
            "client.edit('pca@1.0.0', message=...) sets the message"
        )
        assert caught[0].filename == __file__
        with pytest.warns(NotRecordedWarning, match="not recorded: the libraries"):
            client.push("pca", b"a pca", libraries={"joblib": "1.4"})
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            client.push("pca", b"a pca", tags="best", message="the first")
            client.push("pca", b"another pca", message="the second")
        client.register("tok", fields={"major": {"a": "b"}}, message="one")
        with pytest.warns(NotRecordedWarning, match="the message"):
            client.register("tok", fields={"major": {"a": "b"}}, message="two")


SWAPPED = {
    ("pca.bin", "pca"): ("pca.bin is a path: the name of the op comes first", "opstore push pca pca.bin"),
    ("./pca.bin", "pca"): ("./pca.bin is a path: the name of the op comes first", "opstore push pca ./pca.bin"),
    ("models", "all"): ("models is a path: the name of the op comes first", "opstore push all models"),
    ("pca.bin",): ("pca.bin is a path, and the name of the op is missing", "opstore push pca pca.bin"),
    ("models/",): ("models/ is a path, and the name of the op is missing", "opstore push models models/"),
    ("Pca.bin",): ("Pca.bin is a path, and the name of the op is missing", "opstore push NAME Pca.bin"),
    ("my pca",): ("my pca is a path, and the name of the op is missing", "opstore push NAME 'my pca'"),
    ("nothing",): ("give NAME and FILE, NAME and --from-command CMD, or --all DIR", "opstore push --help"),
    ("pca", "nothing"): ("FILE: path 'nothing' does not exist", "opstore push --help"),
    ("pca.bin", "Not An Op"): ("FILE: path 'Not An Op' does not exist", "opstore push --help"),
}


@pytest.mark.parametrize("words", SWAPPED, ids=" ".join)
def test_swapped_and_missing_arguments_are_answered_with_the_command(machine: Machine, words: tuple[str, ...]) -> None:
    machine.file("pca.bin", "a pca")
    machine.file("Pca.bin", "a pca")
    machine.file("my pca", "a pca")
    (machine.cwd / "models").mkdir()
    message, hint = SWAPPED[words]
    assert machine.run("push", *words) == (2, "", f"error: {message}\nhint: {hint}\n")
    assert not machine.runtime_file.exists()


def test_a_file_that_is_called_as_the_op_is_no_mistake(machine: Machine) -> None:
    machine.file("pca", "a pca")
    assert machine.do("push", "pca", "pca") == "pca@1.0.0"
    machine.file("other", "bytes")
    assert machine.do("push", "other", "pca") == "other@1.0.0"
    assert machine.do("push", "pca", "-") == "pca@1.0.1"
