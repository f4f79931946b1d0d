"""Completion in real bash, zsh and fish shells, with and without a daemon."""

import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from opstore_cli.console import time_limit
from opstore_cli.console.application import COMMANDS, COMPLETE_VARIABLE
from opstore_cli.console.shell_scripts import SHELLS, script
from tests.support.figures import few
from tests.support.machines import Machine, a_machine
from tests.support.markdown import ROOT
from tests.support.terminal import Terminal

FOLDER = ROOT / "completions"
PROMPT = "ready> "
START = {
    "bash": (["bash", "--norc", "--noprofile", "-i"], f"PS1='{PROMPT}'; bind 'set bell-style none'; source {{script}}"),
    "zsh": (
        ["zsh", "-f", "-i"],
        f"PS1='{PROMPT}'; autoload -U compinit && compinit -u -D; source {{script}}; unsetopt beep",
    ),
    "fish": (
        ["fish", "--no-config", "-i"],
        f"function fish_prompt; printf '{PROMPT}'; end; set -g fish_autosuggestion_enabled 0; source {{script}}",
    ),
}


def is_missing(shell: str) -> bool:
    """Return whether the shell is not installed; fail in CI, which installs all of them."""
    return shutil.which(shell) is None and "OPSTORE_TEST_ALL" not in os.environ


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    if is_missing(name):
        pytest.skip(f"{name} is not installed")
    return name


@pytest.fixture(scope="module")
def stocked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """Return a machine whose daemon has some ops, with a folder that contains a file. Tests share it and only read."""
    with a_machine(tmp_path_factory.mktemp("stocked") / "machine") as machine:
        path = machine.file("blob.bin", b"bytes")
        machine.do("start")
        with machine.client() as client:
            for op in ("pca", "pca_of_may", "tokenizer"):
                client.push(op, path)
            client.push("tokenizer", path, new=True, bump="minor", labels={"stage": "candidate,late"})
            client.tag("tokenizer@1.0.0", "production")
            client.register_pipeline("churn", ["tokenizer", "pca"])
        yield machine


class Prompt:
    """A shell with completion, at its prompt."""

    def __init__(self, name: str, machine: Machine) -> None:
        words, setup = START[name]
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        env = {**machine.environment, "PATH": path, time_limit.VARIABLE: "30"}
        del env["PYTHONWARNINGS"]
        self._terminal = Terminal(words, env, machine.cwd, columns=120)
        self._setup = setup.format(script=FOLDER / f"opstore.{name}")

    def __enter__(self) -> "Prompt":
        self._terminal.__enter__()
        self._terminal.enter(f"{self._setup}; clear\n")
        self._terminal.wait_for(lambda lines: lines == [PROMPT.rstrip()], "the prompt")
        return self

    def erase(self) -> None:
        """Clear the line without running a command, which could swallow the next keys."""
        self._terminal.enter("\x15")
        self._terminal.wait_for(lambda lines: lines == [PROMPT.rstrip()], "the prompt")

    def __exit__(self, *failure: Any) -> None:
        self._terminal.__exit__(*failure)

    def expect_completion(self, line: str, to: str) -> None:
        """Check that Tab completes the line to `to`."""
        self._terminal.enter(f"{line}\t")
        self._terminal.wait_for(lambda lines: f"{PROMPT}{to}".rstrip() in lines, to)

    def expect_candidates(self, line: str, *words: str) -> None:
        """Check that repeated Tabs list these candidates."""
        self._terminal.enter(f"{line}\t\t\t")
        pattern = [rf"(^|\s){re.escape(word)}(\s|$)" for word in words]
        shown = lambda lines: all(any(re.search(one, text) for text in lines[1:]) for one in pattern)  # noqa: E731
        self._terminal.wait_for(shown, " ".join(words))


# Words that a shell splits or escapes in its own way: files, @, = and :.
OF_THE_SHELL = {
    "opstore versi": "opstore versions",
    "opstore push pca blo": "opstore push pca blob.bin",
    "opstore show tokenizer@prod": "opstore show tokenizer@production",
    "opstore versions tokenizer --label stage=ca": "opstore versions tokenizer --label stage=candidate,late",
    "opstore pipeline register x --edge tokenizer:pca_": "opstore pipeline register x --edge tokenizer:pca_of_may",
}
# `test_the_candidates_for_each_argument_and_option` asks the program for such words without a shell.
OTHERS = {
    "opstore pipeline li": "opstore pipeline list",
    "opstore push --bu": "opstore push --bump",
    "opstore push pca blob.bin --bump ma": "opstore push pca blob.bin --bump major",
    "opstore versions tok": "opstore versions tokenizer",
    "opstore pull tokenizer@1.1": "opstore pull tokenizer@1.1.0",
    "opstore validate chu": "opstore validate churn",
    "opstore pull --pipeline chu": "opstore pull --pipeline churn",
    "opstore untag tokenizer pro": "opstore untag tokenizer production",
    "opstore tag tokenizer@1.1.0 pro": "opstore tag tokenizer@1.1.0 production",
    "opstore edit tokenizer@1.1.0 --unlabel sta": "opstore edit tokenizer@1.1.0 --unlabel stage",
    "opstore log chu": "opstore log churn",
}
OFFERED = {
    "opstore pu": ("push", "pull"),
    "opstore versions pc": ("pca", "pca_of_may"),
    "opstore validate ": ("churn", "pca", "tokenizer"),
}


@pytest.mark.parametrize("shell", few(1, SHELLS), indirect=True)
@pytest.mark.parametrize("completed", [OF_THE_SHELL, pytest.param(OTHERS, marks=pytest.mark.slow)], ids=["few", "all"])
def test_tab_completes_the_line(stocked: Machine, shell: str, completed: dict[str, str]) -> None:
    with Prompt(shell, stocked) as prompt:
        for line, to in completed.items():
            prompt.expect_completion(line, to)
            prompt.erase()


@pytest.mark.parametrize("shell", few(1, SHELLS), indirect=True)
def test_repeated_tabs_list_the_candidates(stocked: Machine, shell: str) -> None:
    op = {"bash": "", "zsh": "tokenizer", "fish": "…okenizer"}[shell]  # fish shortens the common prefix
    with Prompt(shell, stocked) as prompt:
        prompt.expect_candidates("opstore pull tokenizer@", f"{op}@1.1.0", f"{op}@1.0.0", f"{op}@production")


@pytest.mark.slow
@pytest.mark.parametrize("line", OFFERED)
def test_repeated_tabs_list_commands_ops_and_pipelines(stocked: Machine, shell: str, line: str) -> None:
    with Prompt(shell, stocked) as prompt:
        prompt.expect_candidates(line, *OFFERED[line])


def test_completion_without_a_daemon_is_silent_and_starts_none(machine: Machine, shell: str) -> None:
    with Prompt(shell, machine) as prompt:
        prompt.expect_completion("opstore pull pc", "opstore pull pc")
        prompt.expect_completion("a", "opstore pull pca")  # the prompt is back and nothing was printed
    assert machine.daemons() == []
    assert not machine.home.exists()


# --- requests of the scripts ----------------------------------------------------------------------------------------


def ask(machine: Machine, line: str, **env: str) -> tuple[list[str], str]:
    """Return the candidates for bash, and standard error."""
    environment = {"COMP_LINE": line, "COMP_WORDBREAKS": " \t\n\"'@><=;|&(:", COMPLETE_VARIABLE: "bash_complete", **env}
    code, out, err = machine.raw(env={time_limit.VARIABLE: "30", **environment})
    assert code == 0
    return [found.partition(",")[2] for found in out.decode().splitlines() if found], err.decode()


def test_every_command_is_offered(machine: Machine) -> None:
    assert ask(machine, "opstore ") == (list(COMMANDS), "")


ASKED: dict[str, list[str]] = {
    "opstore untag ": ["pca", "pca_of_may", "tokenizer"],
    "opstore untag tokenizer ": ["production"],
    "opstore tag ": ["pca", "pca_of_may", "tokenizer"],
    "opstore tag pca ": [],
    "opstore pull pca tok": ["tokenizer"],
    "opstore push new blob.bin --valid-with tok": ["tokenizer"],
    "opstore push new blob.bin --valid-with tokenizer@": ["@production", "@1.1.0", "@1.0.0"],
    "opstore pull 'tokenizer@1.1": ["tokenizer@1.1.0"],
    "opstore link tokenizer@1.0.0 pca_": ["pca_of_may"],
    "opstore validate tokenizer ": ["pca", "pca_of_may", "tokenizer"],
    "opstore pipeline show ": ["churn"],
    "opstore edit tokenizer@1.1.0 --unlabel sta": ["stage"],
    "opstore versions tokenizer --label stage=ca": ["candidate,late"],
    "opstore log chu": ["churn"],
    "opstore pipeline register x --edge tok": ["tokenizer"],
    "opstore resolve ch": ["churn"],
    "opstore verify ch": ["churn"],
    "opstore verify churn --use tok": ["tokenizer"],
    "opstore verify --run python --": [],  # of the other command
    "opstore push pca --from-command python -": [],
    "opstore runs ch": ["churn"],
    "opstore runs --result pa": ["passed"],
    "opstore runs --reference tokenizer@1.1": ["@1.1.0"],
    "opstore runs --output ": [],
    "opstore resolve churn --upgrade pca": ["pca", "pca_of_may"],
    "opstore versions nothing@": [],
    "opstore versions Not-A-Name@": [],
    "opstore push pca blob.bin -m ": [],
    "opstore push pca blob.bin --label ": [],
    "opstore push tokenizer blob.bin --label ": ["stage="],
    "opstore ops --label ": [],
    "opstore versions pca --as-of ": ["yesterday", "1h", "1d", "1w"],
    "opstore help pipeline reg": ["register"],
    "opstore config set allow_": ["allow_pickle"],
    "opstore config set allow_pickle t": ["true"],
    "opstore login ": [],
    "opstore pull 'unfinished quote": [],
}


@pytest.mark.slow
def test_the_candidates_for_each_argument_and_option(stocked: Machine) -> None:
    assert {line: ask(stocked, line) for line in ASKED} == {line: (offered, "") for line, offered in ASKED.items()}


def test_names_are_completed_among_many_ops(machine: Machine) -> None:
    path = machine.file("blob", b"bytes")
    for op in ("a", "m-1", "m", "m.x", "m_y", "n", "z9"):
        machine.do("push", op, path)
    assert ask(machine, "opstore versions m")[0] == ["m", "m-1", "m.x", "m_y"]
    assert ask(machine, "opstore versions z")[0] == ["z9"]


def test_completion_does_not_wait_for_a_hanging_daemon(machine: Machine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        env = {"OPSTORE_URL": url, "OPSTORE_TOKEN": "t", time_limit.VARIABLE: "0.1"}
        assert ask(machine, "opstore versions pc", **env) == ([], "")


def test_completion_that_runs_out_of_time_prints_nothing_at_all(machine: Machine) -> None:
    # Commands and options need no daemon, and are left out too.
    for line in ("opstore pu", "opstore push --bu", "opstore versions pc"):
        assert ask(machine, line, **{time_limit.VARIABLE: "0"}) == ([], "")


def test_the_time_limit_counts_from_the_start_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(time_limit, "_age", lambda: 0.75)
    monkeypatch.setattr(threading.Timer, "start", lambda timer: waits.append(timer.interval))
    time_limit.end_in_time()
    monkeypatch.setattr(time_limit, "_age", lambda: 7.0)
    time_limit.end_in_time()
    assert waits == [0.25, 0]


@pytest.mark.parametrize("question", ["bash_nonsense", "tcsh_complete", "bash", "", "_"])
def test_a_question_that_is_no_question_is_answered_with_nothing(machine: Machine, question: str) -> None:
    assert machine.raw(env={COMPLETE_VARIABLE: question, "COMP_LINE": "opstore pu"}) == (0, b"", b"")


@pytest.mark.parametrize(
    "env",
    [
        {"OPSTORE_URL": "http://127.0.0.1:1", "OPSTORE_TOKEN": "t"},
        {"OPSTORE_URL": "not a url"},
        {"OPSTORE_URL": "http://models.example.com", "OPSTORE_TOKEN": "t"},
        {"OPSTORE_HOME": "/dev/null/x"},
        {time_limit.VARIABLE: "soon"},
        {time_limit.VARIABLE: "inf"},
        {time_limit.VARIABLE: "nan"},
        {time_limit.VARIABLE: "-1"},
    ],
)
def test_completion_is_silent_about_every_error(machine: Machine, env: dict[str, str]) -> None:
    assert ask(machine, "opstore versions pc", **env) == ([], "")


def test_completion_queries_the_daemon_named_on_the_line(stocked: Machine, machine: Machine) -> None:
    url = f"http://127.0.0.1:{stocked.runtime()['port']}"
    env = {"OPSTORE_TOKEN": stocked.token}
    assert ask(machine, f"opstore --url {url} versions tok", **env)[0] == ["tokenizer"]


@pytest.fixture
def logged_in_url(machine: Machine) -> str:
    machine.do("start")
    url = f"http://127.0.0.1:{machine.runtime()['port']}"
    machine.do("login", url, stdin=machine.token.encode())
    return url


def test_logout_completes_the_urls_with_a_stored_token(machine: Machine, logged_in_url: str) -> None:
    assert ask(machine, "opstore logout ht")[0] == [logged_in_url]
    assert ask(machine, "opstore logout http:")[0] == [logged_in_url.removeprefix("http:")]


def test_an_option_for_a_folder_completes_folders(machine: Machine) -> None:
    environment = {"COMP_LINE": "opstore pull pca -d ", "COMP_WORDBREAKS": "", COMPLETE_VARIABLE: "bash_complete"}
    assert machine.raw(env=environment)[1].startswith(b"dir,")


def test_the_completion_script_of_an_earlier_release_still_works(stocked: Machine) -> None:
    environment = {"COMP_WORDS": "opstore versions pc", "COMP_CWORD": "2", COMPLETE_VARIABLE: "bash_complete"}
    assert stocked.raw(env={time_limit.VARIABLE: "30", **environment}) == (
        0,
        b"plain,pca\nplain,pca_of_may\n",
        b"",
    )


@pytest.mark.parametrize("name", SHELLS)
def test_the_program_prints_the_packaged_completion_script(machine: Machine, name: str) -> None:
    printed = machine.raw("completion", name)[1].decode()
    assert printed == script(name) == (FOLDER / f"opstore.{name}").read_text()


def test_each_shell_can_parse_its_completion_script(shell: str) -> None:
    check = subprocess.run(
        [shell, "-n", str(FOLDER / f"opstore.{shell}")], env={**os.environ}, capture_output=True, text=True, check=False
    )
    assert (check.returncode, check.stderr) == (0, "")


def test_there_is_one_completion_script_per_shell_and_no_other_file() -> None:
    assert sorted(path.name for path in FOLDER.iterdir()) == sorted(f"opstore.{name}" for name in SHELLS)
