"""`opstore pipeline`: named graphs of ops."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from opstore_cli.console.command import HELP, Group, command
from opstore_cli.console.parameters import EdgeType, OpNameType, PipelineNameType
from opstore_cli.console.session import Session
from opstore_cli.output.cells import Cell, text_cell, time_cell
from opstore_cli.output.tables import Table
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.names import OpName

if TYPE_CHECKING:
    from opstore_daemon.protocol.records import PipelineRecord

Graph = tuple[list[str], list[tuple[str, str]] | None]

_FORM = 'it holds ops = ["up", "down"] or edges = [["up", "down"]], or both'


@click.group("pipeline", cls=Group, context_settings=HELP)
def pipeline() -> None:
    """Register, list, show and remove pipelines.

    \b
    Examples:
      opstore pipeline register churn scaler pca random_forest
      opstore pipeline list
      opstore pipeline show churn
    """


@command("register", group=pipeline)
@click.argument("name", metavar="PIPELINE", type=PipelineNameType())
@click.argument("ops", metavar="[OP]...", nargs=-1, type=OpNameType())
@click.option("--edge", "edges", metavar="UP:DOWN", multiple=True, type=EdgeType(), help="An edge; repeatable.")
@click.option(
    "--file",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A TOML file with ops, edges or both.",
)
def register(
    session: Session, name: str, ops: Sequence[str], edges: Sequence[tuple[str, str]], file: Path | None
) -> None:
    """Register a pipeline. OPs alone are a chain, in the order of the data; with --edge it is the graph of these edges,
    and OPs may name further ops that no edge has. Ops that are new are made. The same graph again makes nothing new;
    another one under the same name is refused.

    FILE is TOML: ops = ["scaler", "pca"] is a chain, edges = [["scaler", "pca"], ["pca", "random_forest"]] any graph.

    \b
    Examples:
      opstore pipeline register churn scaler pca random_forest
      opstore pipeline register wide --edge scaler:pca --edge scaler:tsne
      opstore pipeline register churn --file churn.toml
    """
    graph: Graph = (list(ops), list(edges) or None)
    if file is not None:
        if ops or edges:
            raise click.UsageError("--file has the whole graph: give neither OPs nor --edge with it")
        graph = read_graph(file)
    if not graph[0] and not graph[1]:
        raise click.UsageError("a pipeline has ops: name them in order, or give --edge or --file")
    registered = session.client().register_pipeline(name, graph[0], edges=graph[1])
    session.out.write_result(registered, quiet=[registered.name], full=[registered.name])
    if not registered.created:
        session.out.note(f"nothing new: the pipeline {registered.name} is registered with this graph already")


@command("list", group=pipeline)
def list_(session: Session) -> None:
    """List all pipelines. The columns are the name, the ops in the order of the data, how many edges there are, and the
    time of the registration.

    \b
    Examples:
      opstore pipeline list
      opstore pipeline list -q
    """
    found = session.client().pipelines()
    session.out.write_result(
        {"pipelines": found},
        quiet=[each.name for each in found],
        full=Table(("PIPELINE", "OPS", "EDGES", "REGISTERED"), [_row(each) for each in found]),
    )
    if not found:
        session.out.tip("there is no pipeline yet: opstore pipeline register NAME OP OP ... makes one")


@command("show", group=pipeline)
@click.argument("name", metavar="PIPELINE", type=PipelineNameType())
def show(session: Session, name: str) -> None:
    """Show the edges of a pipeline. Each line is an upstream op and the downstream op that takes its data; an op
    without an edge stands alone. With -q the lines are its ops, in the order of the data.

    \b
    Examples:
      opstore pipeline show churn
      opstore pipeline show churn --json
    """
    found = session.client().pipeline(name)
    linked = {op for edge in found.edges for op in edge}
    rows = [(upstream, text_cell(downstream)) for upstream, downstream in found.edges]
    rows += [(op, text_cell(None)) for op in found.ops if op not in linked]
    session.out.write_result(found, quiet=found.ops, full=Table(("UPSTREAM", "DOWNSTREAM"), rows))


@command("remove", group=pipeline)
@click.argument("name", metavar="PIPELINE", type=PipelineNameType())
def remove(session: Session, name: str) -> None:
    """Remove a pipeline. Its ops, their versions and links stay.

    \b
    Examples:
      opstore pipeline remove churn
    """
    session.client().remove_pipeline(name)
    session.out.write_result({"removed": name}, quiet=[], full=[])
    session.out.note(f"removed the pipeline {name}")


def _row(found: "PipelineRecord") -> list[Cell | str]:
    return [found.name, ", ".join(found.ops), str(len(found.edges)), time_cell(found.registered_at)]


# --- the file -------------------------------------------------------------------------------------------------------


def read_graph(path: Path) -> Graph:
    """The ops and edges of a TOML file; raises FileRefused and InvalidName."""
    import tomllib

    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise errors.FileRefused(path=str(path), reason=str(error)) from None
    ops, edges = content.get("ops", []), content.get("edges")
    if not content or set(content) - {"ops", "edges"} or not _are_names(ops) or not _are_edges(edges):
        raise errors.FileRefused(path=str(path), reason=_FORM)
    return ops, None if edges is None else [(upstream, downstream) for upstream, downstream in edges]


def _are_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(op, str) and bool(OpName.parse(op)) for op in value)


def _are_edges(value: Any) -> bool:
    if value is None:
        return True
    return isinstance(value, list) and all(_are_names(edge) and len(edge) == 2 for edge in value)
