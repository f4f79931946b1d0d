"""`opstore open`: open the daemon's page in the browser, signed in."""

import click

from opstore_cli.console.command import command
from opstore_cli.console.parameters import PipelineNameType, ReferenceType
from opstore_cli.console.session import Session
from opstore_daemon.protocol import routes
from opstore_daemon.protocol.names import PipelineName
from opstore_daemon.protocol.references import Reference, selector_text


@command("open")
@click.argument("reference", metavar="[NAME]", required=False, type=ReferenceType())
@click.option("--pipeline", metavar="PIPELINE", type=PipelineNameType(), help="Open the page of this pipeline.")
@click.option("--print", "printed", is_flag=True, help="Print the address instead of opening it.")
def open(session: Session, reference: Reference | None, pipeline: PipelineName | None, printed: bool) -> None:  # noqa: A001
    """Open the daemon's web page in the browser. NAME opens the page of an op, NAME@SELECTOR that of a version.

    \b
    Examples:
      opstore open
      opstore open pca
      opstore open --pipeline churn
      opstore open --print

    The page shows ops, versions, links, pipelines and the journal, and changes nothing. The browser stays signed in
    until the daemon stops or you log out.

    The address contains a code that works once, within a minute, and never the token. --print prints it, for a browser
    on another machine to which you forward the port; keep it secret.
    """
    if reference is not None and pipeline is not None:
        raise click.UsageError("NAME and --pipeline are mutually exclusive")
    client = session.client()
    invited = client.invite()
    path = _path(reference, pipeline)
    page = f"{client.address}{path}"
    # The code is all that is taken from the daemon: its records have checked the path.
    code = invited.path.rpartition("/")[2]
    once = f"{client.address}{routes.path(routes.SIGN_IN, code=code)}" + ("" if path == routes.HOME else f"?to={path}")
    if not printed and not _open_browser(once):
        session.out.note(f"no browser was found: open the address within {invited.seconds} seconds")
        printed = True
    address = once if printed else page
    session.out.write_result({"url": address, "opened": not printed}, quiet=[address], full=[address])


def _path(reference: Reference | None, pipeline: PipelineName | None) -> str:
    if pipeline is not None:
        return routes.path(routes.PIPELINE_PAGE, pipeline=pipeline)
    if reference is None:
        return routes.HOME
    if reference.bare:
        return routes.path(routes.OP_PAGE, op=reference.op)
    return routes.path(routes.VERSION_PAGE, op=reference.op, selector=selector_text(reference.selector))


def _open_browser(address: str) -> bool:
    """Open the address in the browser, and return whether there is one."""
    import webbrowser

    try:
        return webbrowser.open(address)
    except (webbrowser.Error, OSError):
        return False
