"""The scripts that make a shell complete `opstore`. They are those of click, but for bash, which is a special case."""

import os
from typing import Any

from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
    add_completion_class,
    split_arg_string,
)

from opstore_cli.console.application import ASKED_BY_SHELL, cli

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
    """Bash takes a word apart at an `@`, a `:` or an `=`, and completes what stands behind (an `@` begins that itself).

    So the line is read here, and of an answer that part is left out which bash does not count to the word.
    """

    source_template = _BASH

    def get_completion_args(self) -> tuple[list[str], str]:
        """The words before the one that is to be completed, and that one so far."""
        line = os.environ.get("COMP_LINE")
        if line is None:  # a script of an earlier opstore asks
            return super().get_completion_args()
        words = split_arg_string(line)
        incomplete = "" if not words or line[-1:].isspace() else words.pop()
        return words[1:], incomplete

    def format_completion(self, item: CompletionItem[Any]) -> str:
        """The type, and what bash is to put in the place of its word."""
        return f"{item.type},{item.value[self._left_out() :]}"

    def _left_out(self) -> int:
        line = os.environ.get("COMP_LINE", " ")
        last = "" if line[-1:].isspace() else line.split()[-1]
        if last.startswith(("'", '"')):
            return 0  # which bash takes apart nowhere
        breaks = set(os.environ.get("COMP_WORDBREAKS", "")) & set("@:=")
        return max((last.rfind(sign) + (sign != "@") for sign in breaks), default=0) if breaks & set(last) else 0


SHELLS: dict[str, type[ShellComplete]] = {"bash": Bash, "zsh": ZshComplete, "fish": FishComplete}


def script(shell: str) -> str:
    """The script for that shell."""
    made = SHELLS[shell](cli, {}, "opstore", ASKED_BY_SHELL)
    # Not made.source(): for bash that asks the bash which is installed here for its version.
    source = ShellComplete.source(made)
    return "\n".join(line.rstrip() for line in source.strip().splitlines()) + "\n"


def register() -> None:
    """Has click answer our bash, too."""
    add_completion_class(Bash)
