"""`opstore completion`: print the shell completion script."""

import click

from opstore_cli.console.command import command
from opstore_cli.console.session import Session


@command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(session: Session, shell: str) -> None:
    """Print the shell completion script. It completes commands, options, files and, if a daemon is running, ops,
    versions, tags, labels and pipelines.

    \b
    Examples:
      opstore completion bash > ~/.opstore.bash
      opstore completion zsh > ~/.opstore.zsh
      opstore completion fish > ~/.config/fish/completions/opstore.fish

    For bash, add `source ~/.opstore.bash` to ~/.bashrc. For zsh, add `source ~/.opstore.zsh` to ~/.zshrc, after
    compinit. fish finds the file by itself.
    """
    from opstore_cli.console.shell_scripts import script

    text = script(shell)
    session.out.write_result({"shell": shell, "script": text}, quiet=text.splitlines(), full=text.splitlines())
    session.out.tip("your shell must read this when it starts: see opstore completion --help")
