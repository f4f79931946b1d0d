"""`opstore completion`: print the shell completion script."""

import click

from opstore_cli.console.command import command
from opstore_cli.console.session import Session


@command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(session: Session, shell: str) -> None:
    """Print the script that makes a shell complete commands. It completes options, ops, versions, tags, pipelines and
    files too. What the store has comes from the daemon, where one runs: none is started for it.

    For bash, have ~/.bashrc source what this prints, for zsh ~/.zshrc, behind compinit.

    \b
    Examples:
      opstore completion bash > ~/.opstore.bash
      opstore completion zsh > ~/.opstore.zsh
      opstore completion fish > ~/.config/fish/completions/opstore.fish
    """
    from opstore_cli.console.shell_scripts import script

    text = script(shell)
    session.out.write_result({"shell": shell, "script": text}, quiet=text.splitlines(), full=text.splitlines())
    session.out.tip("your shell must read this when it starts: see opstore completion --help")
