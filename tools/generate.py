"""Makes the generated parts of docs/*.md, and completions/. `python tools/generate.py` rewrites them.

A generated part stands between two comments, `<!-- generated: NAME -->` and `<!-- end: NAME -->`, and tests/docs
compares each with what is made here.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import msgspec
from msgspec import inspect as types

from opstore_cli.console.application import COMMANDS, SECTIONS, cli
from opstore_cli.console.shell_scripts import SHELLS, script
from opstore_cli.objects.formats import FORMATS
from opstore_daemon.protocol import errors, routes
from opstore_daemon.protocol.checksums import Checksum
from opstore_daemon.protocol.digests import Digest
from opstore_daemon.protocol.names import OpName, PipelineName
from opstore_daemon.protocol.records import (
    affected,
    blobs,
    collections,
    daemon,
    details,
    fsck,
    journal,
    links,
    ops,
    picked,
    pipelines,
    removals,
    resolutions,
    runs,
    sessions,
    tags,
    uploads,
    validations,
    verdicts,
    versions,
)
from opstore_daemon.protocol.references import Reference, TagName
from opstore_daemon.protocol.versions import Version
from opstore_daemon.web.api import every_route
from opstore_daemon.web.framework import openapi
from opstore_daemon.web.framework.routing import ApiRoute

ROOT = Path(__file__).resolve().parent.parent
COMMAND = "python tools/generate.py"
WIDTH = 80  # of the help texts, whatever terminal this runs in

NOUNS = (
    versions,
    removals,
    tags,
    blobs,
    uploads,
    ops,
    links,
    verdicts,
    validations,
    resolutions,
    affected,
    pipelines,
    runs,
    details,
    journal,
    picked,
    collections,
    fsck,
    sessions,
    daemon,
)
EXIT_CODES = {
    0: "Done; the verdict is valid.",
    1: "The answer is no: a verdict is invalid, no versions are valid together, an op is affected, a lock is out of "
    "date, or `fsck` or `doctor` found something. Nothing else exits with 1, not even a bug.",
    2: "Usage error, or refused input.",
    3: "The verdict is unknown: links are missing.",
    4: "Not found.",
    5: "Conflict: the request contradicts what is stored.",
    6: "Integrity: bytes do not match their digest.",
    7: "The daemon can't be reached, or none runs.",
    8: "Not authorised, or not trusted.",
    9: "Storage error: the disk is full, the database or the saver is down, or the output can't be written.",
    10: "A limit was reached: the answer would take too much work.",
    70: "Internal error: a bug. The message has an id that is also in the daemon's log.",
    130: "Interrupted.",
    141: "Broken pipe.",
}


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
                _filled_in(error.message),
                _filled_in(error.hint),
                "" if error.python is None else _filled_in(error.python),
            )
            for error in leaves
        ]
        head = ("error", "HTTP status", "exit code", "message", "what to do next", "in Python")
        parts.append(f"### {family.__name__}\n\n{summary}\n\n{_table(head, *rows)}")
    return "\n\n".join(parts)


def _filled_in(template: str) -> str:
    """The words of an error, with `NAME` in place of what depends on the case."""
    return f"`{text}`" if (text := re.sub(r"\{(\w+)(?:![rs])?\}", lambda match: match[1].upper(), template)) else ""


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
    rows = [
        (
            f"`{route.method}`",
            f"`{route.rule}`",
            route.scope or "none: public",
            ", ".join(f"`{name}`" for name in route.query.__struct_fields__),
            _body(route),
            _responses(route),
            _sentence(route.view.__doc__ or ""),
        )
        for route in every_route()
    ]
    return _table(("method", "path", "scope", "parameters", "body", "response", "does"), *rows)


def _sentence(text: str) -> str:
    return " ".join(text.split()).partition(". ")[0].rstrip(".") + "."


def _body(route: ApiRoute) -> str:
    if not route.content_types:
        return "none"
    if route.body is None:
        return f"`{route.content_types[0]}`"
    return _link(route.body.__name__) + (
        f", or with bytes as `{routes.FORM}`" if routes.FORM in route.content_types else ""
    )


def _responses(route: ApiRoute) -> str:
    """The statuses of each body, as `201 or 200: Pushed`."""
    statuses: dict[str, list[str]] = {}
    for status, spec in route.responses.items():
        body = spec.body
        says = "nothing" if body is None else f"`{body}`" if isinstance(body, str) else _link(body.__name__)
        says += "" if spec.accepted is None else f" (or `{spec.accepted[0]}`: {_link(spec.accepted[1].__name__)})"
        statuses.setdefault(says, []).append(str(status))
    return ", ".join(f"{' or '.join(several)}: {says}" for says, several in statuses.items())


def parameter_table() -> str:
    """Every parameter of the queries, as the OpenAPI document tells of it."""
    rows: dict[tuple[str, str, str], list[str]] = {}
    for route in every_route():
        for parameter in openapi.query_parameters(route):
            schema = parameter["schema"]
            bounds = f" from {schema['minimum']} to {schema['maximum']}" if "maximum" in schema else ""
            kind = {"array": "text, repeatable", "string": "text"}.get(schema["type"], schema["type"]) + bounds
            kind = " or ".join(f"`{word}`" for word in schema["enum"]) if "enum" in schema else kind
            kind += ", required" if parameter["required"] else ""
            kind += f"; `{schema['default']}` default" if schema.get("default") else ""
            row = (f"`{parameter['name']}`", kind, parameter["description"])
            rows.setdefault(row, []).append(f"`{route.rule}`")
    head = ("parameter", "of", "form", "what")
    return _table(
        head, *((name, ", ".join(dict.fromkeys(of)), kind, what) for (name, kind, what), of in sorted(rows.items()))
    )


def _link(record: str) -> str:
    return f"[{record}](#{record.lower()})"


def record_tables() -> str:
    """Every record on the wire, noun by noun."""
    parts = []
    for record in every_record():
        about = re.sub(r"\bNone\b", "null", " ".join((record.__doc__ or "").split()))
        info = types.type_info(record)
        assert isinstance(info, types.StructType)  # noqa: S101 - every record is one
        rows = [
            (f"`{field.encode_name}`", _type(field.type), "required" if field.required else _default(field))
            for field in info.fields
        ]
        parts.append(f"#### {record.__name__}\n\n{about}\n\n{_table(('key', 'type', 'default'), *rows)}")
    return "\n\n".join(parts)


def every_record() -> Iterator[type[msgspec.Struct]]:
    """Yield every record: requests and responses."""
    for noun in NOUNS:
        for value in vars(noun).values():
            if isinstance(value, type) and value.__module__ == noun.__name__:
                yield value


def format_table() -> str:
    """Every format of objects."""
    rows = [
        (f"`{each.name}`", each.takes, "**yes**" if each.runs_code else "no", f"`{each.extra}`" if each.extra else "")
        for each in FORMATS.values()
    ]
    return _table(("format", "takes", "loading runs code", "extra"), *rows)


def _default(field: types.Field) -> str:
    if field.default is msgspec.NODEFAULT and field.default_factory is msgspec.NODEFAULT:
        return "absent"  # how msgspec describes a key that is only there if it has a value
    value = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
    return f"`{msgspec.json.encode(value).decode()}`"


_PLAIN: dict[type[types.Type], str] = {
    types.AnyType: "any",
    types.BoolType: "true or false",
    types.DateTimeType: "time",
    types.NoneType: "null",
    types.IntType: "integer",
    types.FloatType: "number",
}
_TYPED: dict[type, str] = {
    OpName: "name of an op",
    PipelineName: "name of a pipeline",
    TagName: "name of a tag",
    Reference: "reference",
    Version: "subversions",
    Digest: "digest",
    Checksum: "checksum",
}


def _type(given: types.Type) -> str:
    kind = _bare(given)
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
    return _TYPED[kind.cls] if isinstance(kind, types.CustomType) else _PLAIN[type(kind)]


def _bare(kind: types.Type) -> types.Type:
    """Without what only its schema says."""
    return kind.type if isinstance(kind, types.Metadata) else kind


PARTS: dict[str, Callable[[], str]] = {
    "exit codes": exit_codes,
    "errors": error_table,
    "commands": command_index,
    "help": command_help,
    "routes": route_table,
    "parameters": parameter_table,
    "records": record_tables,
    "formats": format_table,
}


def fill_in(text: str) -> str:
    """The document with its generated parts made anew; raises KeyError where it wants one that nobody makes."""
    pattern = re.compile(r"(<!-- generated: (?P<name>[a-z ]+) -->\n).*?(<!-- end: (?P=name) -->)", re.DOTALL)
    return pattern.sub(lambda found: f"{found[1]}\n{PARTS[found['name']]()}\n\n{found[3]}", text)


# --- completions ----------------------------------------------------------------------------------------------------


def generated() -> Iterator[tuple[Path, str]]:
    """Each file that has generated parts, and what should be in it."""
    for path in sorted((ROOT / "docs").glob("*.md")):
        text = path.read_text("utf-8")
        if "<!-- generated: " in text:
            yield path, fill_in(text)
    for shell in SHELLS:
        yield ROOT / "completions" / f"opstore.{shell}", script(shell)


def main() -> None:
    """Rewrites what differs."""
    for path, wanted in generated():
        if not path.exists() or path.read_text("utf-8") != wanted:
            path.write_text(wanted, "utf-8")
            click.echo(f"wrote {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
