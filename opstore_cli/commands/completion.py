"""`opstore completion`: print the shell completion script."""

import click

from opstore_cli.console.command import command
from opstore_cli.console.session import Session


@command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(session: Session, shell: str) -> None:
    """Print the shell completion script. It completes commands, options, files, and the daemon's ops, versions, tags
    and pipelines, if a daemon is running.

    Source the script in ~/.bashrc, or in ~/.zshrc after compinit; fish reads it from its completions folder.

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
