"""Makes the generated parts of docs/*.md, and completions/. `python tools/generate.py` rewrites them.

A generated part stands between two comments, `<!-- generated: NAME -->` and `<!-- end: NAME -->`, and tests/docs
compares each with what is made here.
"""

import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import click
import msgspec
from click.shell_completion import BashComplete, FishComplete, ShellComplete, ZshComplete
from msgspec import inspect as types

from opstore_cli.main import COMMANDS, SECTIONS, cli
from opstore_daemon.protocol import errors, records, routes
from opstore_daemon.web.api import EVERY_MODULE
from opstore_daemon.web.routing import Route

ROOT = Path(__file__).resolve().parent.parent
COMMAND = "python tools/generate.py"
WIDTH = 80  # of the help texts, whatever terminal this runs in

EXIT_CODES = {
    0: "Done; the verdict is valid.",
    1: "The answer is no: a verdict is invalid, no version is valid, `doctor` found something. Nothing else exits 1, "
    "a bug included.",
    2: "Wrong usage, or input that was refused.",
    3: "The verdict is unknown: no link says so either way.",
    4: "Not found.",
    5: "Conflict: what was asked for contradicts what is there.",
    6: "Integrity: bytes do not match their digest.",
    7: "The daemon can't be reached, or none runs.",
    8: "Not authorised, or not to be trusted.",
    9: "The store can't: disk full, database or saver down, or the output can't be written.",
    70: "An unforeseen error: a bug. The message has a reference.",
    130: "Interrupted.",
    141: "The reader of a pipe went away.",
}


class Answer(NamedTuple):
    """What a route answers where all is well: the statuses, and the record in the body (None: no JSON)."""

    statuses: tuple[int, ...]
    record: type[records.Record] | None
    says: str = ""


ANSWERS: dict[tuple[str, str], Answer] = {
    ("GET", routes.HEALTH): Answer((200,), None, "`ok`"),
    ("GET", routes.READY): Answer((200,), None, "`ok`"),
    ("GET", routes.STATUS): Answer((200,), records.Status),
    ("GET", routes.OPS): Answer((200,), records.Ops),
    ("GET", routes.OP): Answer((200,), records.OpRecord),
    ("PATCH", routes.OP): Answer((200,), records.OpRecord),
    ("GET", routes.VERSIONS): Answer((200,), records.Versions),
    ("POST", routes.VERSIONS): Answer((201, 200), records.Pushed),
    ("GET", routes.VERSION): Answer((200,), records.VersionRecord),
    ("GET", routes.BYTES): Answer((200, 206, 304), None, "the bytes"),
    ("POST", routes.UPLOADS): Answer((201,), records.Upload),
    ("GET", routes.UPLOAD): Answer((200,), records.Upload),
    ("PATCH", routes.UPLOAD): Answer((200,), records.Upload),
    ("DELETE", routes.UPLOAD): Answer((204,), None, "nothing"),
    ("GET", routes.LINKS): Answer((200,), records.Links),
    ("POST", routes.LINKS): Answer((201, 200), records.LinkRecord),
    ("GET", routes.VERDICT): Answer((200,), records.Validation),
    ("GET", routes.PIPELINES): Answer((200,), records.Pipelines),
    ("POST", routes.PIPELINES): Answer((201, 200), records.PipelineRecord),
    ("GET", routes.PIPELINE): Answer((200,), records.PipelineRecord),
    ("DELETE", routes.PIPELINE): Answer((204,), None, "nothing"),
    ("GET", routes.PIPELINE_VERDICT): Answer((200,), records.Validation),
}


def every_route() -> Iterator[Route]:
    """All routes that are served, a module after the other."""
    for module in EVERY_MODULE:
        yield from module.ROUTES


def every_command() -> Iterator[tuple[str, click.Command]]:
    """(`opstore pipeline list`, the command) for the program, its commands and their subcommands."""
    yield "opstore", cli
    for name in COMMANDS:
        yield from _with_subcommands(f"opstore {name}", cli.get_command(click.Context(cli), name))


def _with_subcommands(path: str, command: click.Command | None) -> Iterator[tuple[str, click.Command]]:
    if command is None:
        raise ValueError(f"there is no {path}")
    yield path, command
    if isinstance(command, click.Group):
        for name, subcommand in command.commands.items():
            yield from _with_subcommands(f"{path} {name}", subcommand)


def help_of(path: str) -> str:
    """What `--help` says, at a width of 80."""
    _, *words = path.split()
    context = cli.make_context("opstore", [], resilient_parsing=True, terminal_width=WIDTH)
    for word in words:
        assert isinstance(context.command, click.Group)  # noqa: S101 - only groups have words behind them
        command = context.command.get_command(context, word)
        assert command is not None, path  # noqa: S101
        context = command.make_context(word, [], parent=context, resilient_parsing=True, terminal_width=WIDTH)
    return context.get_help()


# --- the parts ------------------------------------------------------------------------------------------------------


def _table(*rows: tuple[str, ...]) -> str:
    head, *body = rows
    lines = [head, tuple("---" for _ in head), *body]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def exit_codes() -> str:
    """Exit codes and what they mean."""
    return _table(("code", "meaning"), *((f"`{code}`", meaning) for code, meaning in EXIT_CODES.items()))


def error_table() -> str:
    """Every error, a table for each family."""
    parts = []
    for family in errors.OpStoreError.__subclasses__():
        leaves = list(errors.all_errors(family))
        summary = " ".join((family.__doc__ or "").split())
        rows = [
            (
                f"`{error.__name__}`" + (" (the family)" if error is family and len(leaves) > 1 else ""),
                str(error.status),
                f"`{error.exit_code}`",
                f"`{error.message}`",
                f"`{error.hint}`" if error.hint else "",
            )
            for error in leaves
        ]
        head = ("error", "HTTP status", "exit code", "message", "the command to run next")
        parts.append(f"### {family.__name__}\n\n{summary}\n\n{_table(head, *rows)}")
    return "\n\n".join(parts)


def command_index() -> str:
    """All commands in a table, as the program's own help groups them."""
    parts = []
    for title, commands in SECTIONS.items():
        rows = [(f"[`{name}`](#opstore-{name})", summary) for name, (_, summary) in commands.items()]
        parts.append(f"**{title}**\n\n{_table(('command', 'does'), *rows)}")
    return "\n\n".join(parts)


def command_help() -> str:
    """The help of every command."""
    return "\n\n".join(f"## {path}\n\n```text\n{help_of(path)}\n```" for path, _ in every_command())


def route_table() -> str:
    """Every route as it is served."""
    rows = []
    for route in every_route():
        answer = ANSWERS[route.method, route.rule]
        summary = _sentence(route.view.__doc__ or "")
        says = answer.says if answer.record is None else _link(answer.record.__name__)
        rows.append(
            (
                f"`{route.method}`",
                f"`{route.rule}`",
                route.scope or "none: public",
                ", ".join(f"`{name}`" for name in parameters_of(route)),
                _body(route),
                f"{' or '.join(map(str, answer.statuses))}: {says}",
                summary,
            )
        )
    return _table(("method", "path", "scope", "parameters", "body", "answer", "does"), *rows)


def _sentence(text: str) -> str:
    return " ".join(text.split()).partition(". ")[0].rstrip(".") + "."


def parameters_of(route: Route) -> list[str]:
    """The parameters of the query that the view knows."""
    found = re.search(r"\bparameters\(([^)]*)\)", inspect.getsource(route.view))
    return re.findall(r'"(\w+)"', found[1]) if found else []


def body_of(route: Route) -> type[records.Request] | None:
    """The record that the view reads from the request's JSON."""
    found = re.search(r"\bbody\((\w+)\)", inspect.getsource(route.view))
    kind: type[records.Request] | None = getattr(records, found[1]) if found else None
    return kind


def _body(route: Route) -> str:
    if route.takes is None:
        return "none"
    record = body_of(route)
    return f"`{route.takes}`" if record is None else _link(record.__name__)


def _link(record: str) -> str:
    return f"[{record}](#{record.lower()})"


def record_tables() -> str:
    """Every record on the wire, in the order of protocol/records.py."""
    parts = []
    for record in every_record():
        about = re.sub(r"\bNone\b", "null", " ".join((record.__doc__ or "").split()))
        info = types.type_info(record)
        assert isinstance(info, types.StructType)  # noqa: S101 - every record is one
        rows = [
            (f"`{field.encode_name}`", _type(field.type), "required" if field.required else _default(field))
            for field in info.fields
        ]
        parts.append(f"#### {record.__name__}\n\n{about}\n\n{_table(('key', 'type', 'where it is left out'), *rows)}")
    return "\n\n".join(parts)


def every_record() -> Iterator[type[msgspec.Struct]]:
    """All records, those that are asked and those that are said."""
    for value in vars(records).values():
        is_record = isinstance(value, type) and issubclass(value, records.Record | records.Request)
        if is_record and value not in (records.Record, records.Request):
            yield value


def _default(field: types.Field) -> str:
    value = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
    return f"`{msgspec.json.encode(value).decode()}`"


_PLAIN: dict[type[types.Type], str] = {
    types.AnyType: "any",
    types.BoolType: "true or false",
    types.DateTimeType: "time",
    types.NoneType: "null",
    types.IntType: "integer",
}


def _type(kind: types.Type) -> str:
    if isinstance(kind, types.StrType):
        return "text" if kind.max_length is None else f"text of at most {kind.max_length} characters"
    match kind:
        case types.LiteralType(values=values):
            return ", ".join(f"`{value}`" for value in sorted(map(str, values)))
        case types.UnionType(types=several):
            return " or ".join(map(_type, sorted(several, key=lambda one: isinstance(one, types.NoneType))))
        case types.VarTupleType(item_type=item):
            return f"list of {_type(item)}"
        case types.TupleType(item_types=items):
            return f"[{', '.join(map(_type, items))}]"
        case types.DictType(key_type=key, value_type=value):
            return f"object: {_type(key)} to {_type(value)}"
        case types.StructType(cls=cls):
            return _link(cls.__name__)
    return _PLAIN[type(kind)]


PARTS: dict[str, Callable[[], str]] = {
    "exit codes": exit_codes,
    "errors": error_table,
    "commands": command_index,
    "help": command_help,
    "routes": route_table,
    "records": record_tables,
}


def fill_in(text: str) -> str:
    """The document with its generated parts made anew; raises KeyError where it wants one that nobody makes."""
    pattern = re.compile(r"(<!-- generated: (?P<name>[a-z ]+) -->\n).*?(<!-- end: (?P=name) -->)", re.DOTALL)
    return pattern.sub(lambda found: f"{found[1]}\n{PARTS[found['name']]()}\n\n{found[3]}", text)


# --- completions ----------------------------------------------------------------------------------------------------

SHELLS: dict[str, type[ShellComplete]] = {"bash": BashComplete, "zsh": ZshComplete, "fish": FishComplete}


def completion(shell: str) -> str:
    """The script for that shell, as click makes it for `opstore`."""
    made = SHELLS[shell](cli, {}, "opstore", "_OPSTORE_COMPLETE")
    # Not made.source(): for bash that asks the bash which is installed here for its version.
    source = ShellComplete.source(made)
    return "\n".join(line.rstrip() for line in source.strip().splitlines()) + "\n"


def generated() -> Iterator[tuple[Path, str]]:
    """Each file that has generated parts, and what should be in it."""
    for path in sorted((ROOT / "docs").glob("*.md")):
        text = path.read_text("utf-8")
        if "<!-- generated: " in text:
            yield path, fill_in(text)
    for shell in SHELLS:
        yield ROOT / "completions" / f"opstore.{shell}", completion(shell)


def main() -> None:
    """Rewrites what differs."""
    for path, wanted in generated():
        if not path.exists() or path.read_text("utf-8") != wanted:
            path.write_text(wanted, "utf-8")
            click.echo(f"wrote {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
