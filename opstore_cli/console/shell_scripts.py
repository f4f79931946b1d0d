"""The shell completion scripts: that of click for zsh, and ours for bash and fish."""

import os
import sys
from contextlib import suppress
from typing import Any, NoReturn

from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
    split_arg_string,
)

from opstore_cli.console.application import COMPLETE_VARIABLE, cli
from opstore_cli.console.session import Session
from opstore_cli.console.time_limit import end_in_time

_BASH = """\
%(complete_func)s() {
    local IFS=$'\\n'
    local response completion type value

    response=$(env COMP_LINE="${COMP_LINE:0:COMP_POINT}" COMP_WORDBREAKS="$COMP_WORDBREAKS" \\
        %(complete_var)s=bash_complete "$1" 2>/dev/null)
    COMPREPLY=()

    for completion in $response; do
        type=${completion%%%%,*}
        value=${completion#*,}
        if [[ $type == 'dir' ]]; then
            compopt -o dirnames
        elif [[ $type == 'file' ]]; then
            compopt -o default
        elif [[ $type == 'plain' ]]; then
            COMPREPLY+=("$value")
            [[ $value == *: ]] && compopt -o nospace
        fi
    done

    return 0
}

complete -o nosort -F %(complete_func)s %(prog_name)s
"""


class Bash(BashComplete):
    """Completion for bash, which splits words at `@`, `:` and `=`, and completes the last part only.

    So this class parses the line itself, and removes from each candidate the part that bash does not replace. An `@`
    belongs to the part that follows it.
    """

    source_template = _BASH

    def get_completion_args(self) -> tuple[list[str], str]:
        """Return the words before the incomplete one, and the incomplete one."""
        line = os.environ.get("COMP_LINE")
        if line is None:  # the script of an earlier opstore
            return super().get_completion_args()
        words = split_arg_string(line)
        incomplete = "" if not words or line[-1:].isspace() else words.pop()
        return words[1:], incomplete

    def format_completion(self, item: CompletionItem[Any]) -> str:
        """Return the type of the candidate, and the text that replaces the last part of the word."""
        return f"{item.type},{item.value[self._fixed_length() :]}"

    def _fixed_length(self) -> int:
        line = os.environ.get("COMP_LINE", " ")
        last = "" if line[-1:].isspace() else line.split()[-1]
        if last.startswith(("'", '"')):
            return 0  # bash does not split quoted words
        breaks = set(os.environ.get("COMP_WORDBREAKS", "")) & set("@:=")
        return max((last.rfind(sign) + (sign != "@") for sign in breaks), default=0) if breaks & set(last) else 0


_FISH = """\
function %(complete_func)s;
    set -l response (env %(complete_var)s=fish_complete COMP_WORDS=(commandline -cp) \\
        COMP_CWORD=(commandline -t) %(prog_name)s 2>/dev/null);

    for completion in $response;
        set -l metadata (string split --max 1 "," $completion);

        if test $metadata[1] = "dir";
            __fish_complete_directories $metadata[2];
        else if test $metadata[1] = "file";
            __fish_complete_path $metadata[2];
        else if test $metadata[1] = "plain";
            echo $metadata[2];
        end;
    end;
end;

complete --no-files --command %(prog_name)s --arguments "(%(complete_func)s)";
"""


class Fish(FishComplete):
    """Completion for fish. The script of click cuts values and descriptions at a comma, and releases of it differ."""

    source_template = _FISH

    def format_completion(self, item: CompletionItem[Any]) -> str:
        """Return the type of the candidate, its text and, after a tab, its description."""
        value, text = (" ".join((part or "").split("\n")).replace("\t", " ") for part in (item.value, item.help))
        return f"{item.type},{value}\t{text}" if text else f"{item.type},{value}"


SHELLS: dict[str, type[ShellComplete]] = {"bash": Bash, "zsh": ZshComplete, "fish": Fish}


def script(shell: str) -> str:
    """Return the completion script for bash, zsh or fish."""
    completer = SHELLS[shell](cli, {}, "opstore", COMPLETE_VARIABLE)
    # Not completer.source(), which runs the installed bash to check its version.
    source = ShellComplete.source(completer)
    return "\n".join(line.rstrip() for line in source.strip().splitlines()) + "\n"


def respond() -> NoReturn:
    """Write what the shell asks for in COMPLETE_VARIABLE, and end the process.

    If that takes too long, or fails in any way, nothing is written: a shell would show it in the middle of the line.
    """
    timer = end_in_time()
    with suppress(Exception):
        text = _response(*os.environ[COMPLETE_VARIABLE].split("_", 1))
        timer.cancel()
        sys.stdout.write(text)
        sys.stdout.flush()
    os._exit(0)  # a thread may still wait for the daemon


def _response(shell: str, question: str) -> str:
    """Return the script of the shell, or the candidates for the words in the environment. Raises KeyError."""
    if question == "source":
        return script(shell)
    if question != "complete":
        raise KeyError(question)
    return SHELLS[shell](cli, {"obj": Session()}, "opstore", COMPLETE_VARIABLE).complete() + "\n"
