"""The help of the program and of every command, and the examples in it."""

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from opstore_cli.console.application import COMMANDS, cli
from opstore_cli.console.command import GlobalOption
from opstore_cli.console.session import Session
from tests.cli.console.program import in_process, opstore
from tests.support.for_each import for_each


def every_command(command: click.Command = cli, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None
            yield from every_command(child, (*path, name))


def command_at(path: tuple[str, ...]) -> click.Command:
    command: click.Command = cli
    for name in path:
        assert isinstance(command, click.Group)
        found = command.get_command(click.Context(command), name)
        assert found is not None
        command = found
    return command


@for_each("path", list(every_command()))
@for_each("option", ["-h", "--help"])
def test_the_help_of_every_command_has_the_common_case_then_examples(
    capsys: pytest.CaptureFixture[str], path: tuple[str, ...], option: str
) -> None:
    code, out, err = in_process(capsys, *path, option)
    assert (code, err) == (0, "")
    assert out.startswith(f"Usage: {' '.join(('opstore', *path))} ")
    _usage, _common_case, examples = out.split("\n\n")[:3]
    assert examples.startswith("  Examples:\n    opstore ")


@for_each("path", list(every_command()))
def test_every_command_has_the_global_options_and_redefines_none(path: tuple[str, ...]) -> None:
    options = [option for option in command_at(path).params if isinstance(option, click.Option)]
    taken = [name for option in options for name in option.opts]
    shared = {name for option in options if isinstance(option, GlobalOption) for name in option.opts}
    assert shared == {"--url", "--json", "-q", "--quiet", "-v", "--verbose", "--no-color"}
    assert sorted(taken) == sorted(set(taken))


@for_each("name", COMMANDS)
def test_the_command_table_matches_the_commands(name: str) -> None:
    command = command_at((name,))
    assert command.name == name
    assert command.help is not None
    sentence = COMMANDS[name][1].removesuffix(".")
    assert re.match(re.escape(sentence) + r"[.,:]", re.sub(r"\s+", " ", command.help))


@for_each("path", list(every_command()))
def test_the_examples_in_the_help_parse(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, path: tuple[str, ...]) -> None:
    import shlex

    monkeypatch.chdir(tmp_path)
    (tmp_path / "release.lock").touch()  # an end of a bisection is a lock if there is such a file
    text = command_at(path).help or ""
    listed = text.split("Examples:\n")[1].partition("\n\n")[0]
    examples = [line.strip() for line in listed.splitlines() if line.strip()]
    for example in examples:
        words = shlex.split(re.split(r" [<>|]|\|\|", example)[0])
        words = words[words.index("opstore") + 1 :]
        command, rest = cli, words
        while isinstance(command, click.Group):
            command, rest = command_at((*words[: len(words) - len(rest)], rest[0])), rest[1:]  # type: ignore[assignment]
        # The files of the examples do not exist; everything else must parse.
        for param in command.params:
            if isinstance(param.type, click.Path):
                monkeypatch.setattr(param.type, "exists", False)
        with command.make_context(words[0], list(rest), obj=Session()):
            pass


def test_the_version_is_printed(environment: dict[str, str]) -> None:
    assert opstore(environment, "--version") == (0, "opstore 0.1.0\n", "")


def test_a_group_without_a_subcommand_exits_2_with_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = in_process(capsys, "pipeline")
    assert (code, out, err.startswith("Usage: opstore pipeline ")) == (2, "", True)


def test_the_program_without_arguments_prints_the_first_steps(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = in_process(capsys)
    assert (code, out) == (2, "")
    assert "First steps:\n  opstore push pca pca.bin " in err
    assert max(map(len, err.splitlines())) <= 80
    for line in err.splitlines():
        if line.startswith("  opstore "):
            command = line.strip().partition("  ")[0].split()
            assert command[1].startswith("--") or command[1] in COMMANDS
