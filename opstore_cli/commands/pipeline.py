"""`opstore pipeline`: register, list, show and remove pipelines."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from opstore_cli.console.command import HELP, Group, command
from opstore_cli.console.parameters import EdgeType, OpNameType, PathType, PipelineNameType
from opstore_cli.console.session import Session
from opstore_cli.output.cells import Cell, text_cell, time_cell
from opstore_cli.output.tables import Table
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.names import OpName, PipelineName

if TYPE_CHECKING:
    from opstore_daemon.protocol.records import PipelineRecord

Graph = tuple[list[OpName], list[tuple[OpName, OpName]] | None]

_FORM = 'it must have ops = ["up", "down"], edges = [["up", "down"]], or both'

NONE = "no pipelines yet: opstore pipeline register NAME OP OP ... registers one"


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
@click.option("--edge", "edges", metavar="UP:DOWN", multiple=True, type=EdgeType(), help="Add an edge; repeatable.")
@click.option(
    "--file",
    metavar="FILE",
    type=PathType(exists=True, dir_okay=False, path_type=Path),
    help="Read ops and edges from this TOML file.",
)
def register(
    session: Session,
    name: PipelineName,
    ops: Sequence[OpName],
    edges: Sequence[tuple[OpName, OpName]],
    file: Path | None,
) -> None:
    """Register a pipeline. Ops alone are a chain, in the order of data flow; --edge makes any acyclic graph.

    \b
    Examples:
      opstore pipeline register churn scaler pca random_forest
      opstore pipeline register wide --edge scaler:pca --edge scaler:tsne
      opstore pipeline register churn --file churn.toml

    opstore creates ops that do not exist yet, and names them. Registering the same graph again changes nothing; another
    graph under the same name is refused.

    With --edge, name an op as an argument only if no edge has it. A file for --file is TOML: ops = ["scaler", "pca"] is
    a chain, and edges = [["scaler", "pca"], ["pca", "random_forest"]] is any graph.
    """
    graph: Graph = (list(ops), list(edges) or None)
    if file is not None:
        if ops or edges:
            raise click.UsageError("--file has the whole graph: omit OPs and --edge")
        graph = read_graph(file)
    if not graph[0] and not graph[1]:
        raise click.UsageError("give the ops of the pipeline in order, --edge or --file")
    registered = session.client().register_pipeline(name, graph[0], edges=graph[1])
    session.out.write_result(registered, quiet=[registered.name], full=[registered.name])
    if registered.created_ops:
        one = len(registered.created_ops) == 1
        created = f"created the op{'' if one else 's'} {', '.join(registered.created_ops)}"
        session.out.note(f"{created}: {'it has' if one else 'they have'} no versions yet")
    if not registered.created:
        session.out.note(f"nothing new: the pipeline {registered.name} is registered with this graph already")


@command("list", group=pipeline)
def list_(session: Session) -> None:
    """List all pipelines.

    \b
    Examples:
      opstore pipeline list
      opstore pipeline list -q

    The columns are the name, the ops in the order of data flow, the number of edges and the time of registration.
    """
    found = session.client().pipelines()
    session.out.write_result(
        {"pipelines": found},
        quiet=[each.name for each in found],
        full=Table(("PIPELINE", "OPS", "EDGES", "REGISTERED"), [_row(each) for each in found], none=NONE),
    )


@command("show", group=pipeline)
@click.argument("name", metavar="PIPELINE", type=PipelineNameType())
def show(session: Session, name: PipelineName) -> None:
    """Show the edges of a pipeline: upstream op and downstream op. An op without edges has a line of its own.

    \b
    Examples:
      opstore pipeline show churn
      opstore pipeline show churn --json

    -q prints the ops, in the order of data flow.
    """
    found = session.client().pipeline(name)
    linked = {op for edge in found.edges for op in edge}
    place = {op: number for number, op in enumerate(found.ops)}  # the order of data flow
    edges = sorted(found.edges, key=lambda edge: [place.get(op, 0) for op in edge])
    rows = [(upstream, text_cell(downstream)) for upstream, downstream in edges]
    rows += [(op, text_cell(None)) for op in found.ops if op not in linked]
    session.out.write_result(found, quiet=found.ops, full=Table(("UPSTREAM", "DOWNSTREAM"), rows))


@command("remove", group=pipeline)
@click.argument("name", metavar="PIPELINE", type=PipelineNameType())
def remove(session: Session, name: PipelineName) -> None:
    """Remove a pipeline. Its ops, their versions and their links stay.

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
    """Return the ops and edges of a TOML file; raise FileRefused or InvalidName."""
    from opstore_cli.files import text

    with errors.translated(OSError, text.NotText, to=errors.FileRefused, path=str(path)):
        content = text.parse_toml(text.read_text(path, pipes=True))
    ops, edges = content.get("ops", []), content.get("edges")
    if not content or set(content) - {"ops", "edges"} or not _is_list_of_text(ops) or not _is_list_of_pairs(edges):
        raise errors.FileRefused(path=str(path), reason=_FORM)
    pairs = None if edges is None else [(OpName.parse(up), OpName.parse(down)) for up, down in edges]
    return [OpName.parse(op) for op in ops], pairs


def _is_list_of_text(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _is_list_of_pairs(value: Any) -> bool:
    if value is None:
        return True
    return isinstance(value, list) and all(_is_list_of_text(pair) and len(pair) == 2 for pair in value)
