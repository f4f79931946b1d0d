"""Commands that do not exist: those of other tools are answered with the command to use; `opstore help`."""

import json

import click
import pytest

from opstore_cli.console.application import COMMANDS, cli
from opstore_cli.console.suggestions import MEANINGS, suggest
from tests.cli.console.program import in_process
from tests.support.for_each import for_each

ROWS = [
    (group, name, meaning) for group, rows in MEANINGS.items() for meaning in rows for name in meaning.names.split()
]


def group_at(name: str) -> click.Group | None:
    command = cli.get_command(click.Context(cli), name) if name else cli
    return command if isinstance(command, click.Group) else None


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        ("ls", "there is no command ls", "opstore ops lists the ops; opstore versions NAME lists the versions of one"),
        ("inspect pca", "there is no command inspect", "opstore show REF shows one version"),
        ("upload", "there is no command upload", "opstore push NAME FILE stores a file or folder"),
        ("download", "there is no command download", "opstore pull REF writes the bytes of a version to a file"),
        ("pipeline ls", "there is no command pipeline ls", "opstore pipeline list lists the pipelines"),
        ("pipeline rgister", "there is no command pipeline rgister", "did you mean opstore pipeline register?"),
        (
            "evaluate",
            "there is no command evaluate",
            "opstore verify PIPELINE --run CMD runs a command on the latest versions and records what it showed; "
            "opstore runs PIPELINE lists the runs",
        ),
        ("psh", "there is no command psh", "did you mean push?"),
        ("verisons", "there is no command verisons", "did you mean versions?"),
        ("xyzzy", "there is no command xyzzy", "opstore --help"),
        (
            "help ls",
            "there is no command ls",
            "opstore ops lists the ops; opstore versions NAME lists the versions of one",
        ),
        ("help push x", "opstore push has no commands", "opstore push --help"),
    ],
)
def test_an_unknown_command_is_answered_with_the_one_to_use(
    capsys: pytest.CaptureFixture[str], words: str, message: str, hint: str
) -> None:
    assert in_process(capsys, *words.split()) == (2, "", f"error: {message}\nhint: {hint}\n")
    code, out, err = in_process(capsys, *words.split(), "--json")
    assert (code, out) == (2, "")
    assert json.loads(err) == {"error": {"code": "Usage", "message": message, "details": {}, "hint": hint}}


OTHERS = "ls list rm delete inspect history get download upload add info remote prune version init"


@pytest.mark.parametrize("name", OTHERS.split())
def test_the_names_of_other_tools_are_answered(capsys: pytest.CaptureFixture[str], name: str) -> None:
    code, out, err = in_process(capsys, name)
    hint = err.splitlines()[1]
    assert (code, out) == (2, "")
    assert hint.startswith("hint: opstore ")
    assert hint != "hint: opstore --help"


@for_each(("group", "name", "meaning"), ROWS)
def test_each_suggestion_is_a_command_that_exists(group: str, name: str, meaning: tuple[str, object]) -> None:
    siblings = group_at(group)
    if siblings is None:
        return  # there is no such group
    names = siblings.list_commands(click.Context(siblings))
    advice = suggest(group, name, names, COMMANDS)
    for use in advice.split("; ") if advice.startswith("opstore ") else []:
        words = use.split()[1:]
        assert words[0] == "--version" or words[0] in COMMANDS
        inner = group_at(words[0]) if words[0] in COMMANDS else None
        assert inner is None or words[1] in inner.list_commands(click.Context(inner))


def test_no_name_has_two_meanings() -> None:
    for group, rows in MEANINGS.items():
        names = [name for meaning in rows for name in meaning.names.split()]
        assert sorted(names) == sorted(set(names)), group


@pytest.mark.parametrize("words", [[], ["push"], ["pipeline"], ["pipeline", "register"], ["help"]], ids=" ".join)
def test_help_prints_what_the_option_prints(capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    expected = in_process(capsys, *words, "--help")[1]
    assert in_process(capsys, "help", *words) == (0, expected, "")
    code, out, _ = in_process(capsys, "help", *words, "--json")
    assert (code, json.loads(out)) == (0, {"help": expected.rstrip("\n")})
