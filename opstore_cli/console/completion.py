"""What a shell offers next: the names, numbers, tags and pipelines that the daemon has.

A shell waits for it at each Tab, so it asks for a moment only, starts no daemon, and is silent whatever goes wrong.
"""

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from opstore_daemon.protocol import errors, routes
from opstore_daemon.protocol.names import is_name
from opstore_daemon.protocol.records import Ops, Pipelines, Tags, Versions

if TYPE_CHECKING:
    from opstore_cli.transport.api import ApiClient

WITHIN = "OPSTORE_COMPLETION_WITHIN"
SECONDS = 0.1  # that a daemon may take, unless the variable says otherwise
MOST_SECONDS = 3600.0
MOST = 200  # of one kind that are offered
_BEHIND = "~"  # comes behind every sign of a name

Ask = Callable[["ApiClient", click.Context, str], Iterable[CompletionItem[str]]]


def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
    """What could stand where the parameter is, by the word that the help has for it."""
    ask = _BY_WORD.get(param.metavar or (param.name or "").upper())
    return [] if ask is None else _within(_seconds(), lambda: _asked(ask, ctx, incomplete))


def _seconds() -> float:
    try:
        asked = float(os.environ.get(WITHIN, SECONDS))
    except ValueError:
        return SECONDS
    return asked if 0 <= asked <= MOST_SECONDS else SECONDS


def _within(seconds: float, work: Callable[[], list[CompletionItem[str]]]) -> list[CompletionItem[str]]:
    """What the work finds, or nothing where it takes longer: the thread ends with the program."""
    found: list[CompletionItem[str]] = []
    thread = threading.Thread(target=lambda: found.extend(work()), daemon=True)
    thread.start()
    thread.join(seconds)
    return list(found)


def _asked(ask: Ask, ctx: click.Context, incomplete: str) -> list[CompletionItem[str]]:
    from opstore_cli.client.client import OpStoreClient
    from opstore_cli.console.session import Session
    from opstore_cli.transport.api import ApiClient

    session = ctx.find_object(Session) or Session()
    with suppress(errors.OpStoreError, OSError, ValueError):
        settings = replace(session.settings(), autostart=False)
        with OpStoreClient(settings=settings, notify=lambda _: None, warn=lambda _: None) as client:
            return list(ask(ApiClient(client), ctx, incomplete))
    return []


def _page(prefix: str) -> dict[str, Any]:
    """The parameters of a list of names that begins where the prefix does."""
    before = prefix[:-1] + chr(ord(prefix[-1]) - 1) + _BEHIND * 3 if prefix else ""
    return {"limit": MOST, "cursor": before}


def _ops(api: "ApiClient", _ctx: click.Context, incomplete: str) -> Iterator[CompletionItem[str]]:
    found = api.request("GET", routes.OPS, Ops, parameters=_page(incomplete)).ops
    for op in found:
        if op.name.startswith(incomplete):
            yield CompletionItem(op.name, help=op.latest or "no version")


def _pipelines(api: "ApiClient", _ctx: click.Context, incomplete: str) -> Iterator[CompletionItem[str]]:
    found = api.request("GET", routes.PIPELINES, Pipelines, parameters=_page(incomplete)).pipelines
    for pipeline in found:
        if pipeline.name.startswith(incomplete):
            yield CompletionItem(pipeline.name, help=f"{len(pipeline.ops)} ops")


def _tags_of(api: "ApiClient", op: str, incomplete: str) -> Iterator[CompletionItem[str]]:
    for tag in api.request("GET", routes.TAGS, Tags, parameters={"op": op, "limit": MOST}).tags:
        if tag.tag.startswith(incomplete):
            yield CompletionItem(tag.tag, help=f"is {tag.version}")


def _references(api: "ApiClient", ctx: click.Context, incomplete: str) -> Iterator[CompletionItem[str]]:
    """Ops, and behind an `@` the numbers and tags of one."""
    op, at, selector = incomplete.partition("@")
    if not at:
        yield from _ops(api, ctx, incomplete)
    elif is_name(op):
        for found in (*_tags_of(api, op, selector), *_numbers(api, op, selector)):
            yield CompletionItem(f"{op}@{found.value}", help=found.help)


def _numbers(api: "ApiClient", op: str, incomplete: str) -> Iterator[CompletionItem[str]]:
    found = api.request("GET", routes.path(routes.VERSIONS, op=op), Versions, parameters={"limit": MOST}).versions
    for version in found:
        if version.version.startswith(incomplete):
            yield CompletionItem(version.version, help=version.registered_at.date().isoformat())


def _pipelines_or_references(api: "ApiClient", ctx: click.Context, incomplete: str) -> Iterator[CompletionItem[str]]:
    if not _given(ctx, "asked"):
        yield from _pipelines(api, ctx, incomplete)
    yield from _references(api, ctx, incomplete)


def _tag_of_given(api: "ApiClient", ctx: click.Context, incomplete: str) -> Iterator[CompletionItem[str]]:
    """The tags of the op that was named before, if any was."""
    given = _given(ctx, "name") or _given(ctx, "words")
    op = given.partition("@")[0]
    if is_name(op):
        yield from _tags_of(api, op, incomplete)


def _reference_then_tag(api: "ApiClient", ctx: click.Context, incomplete: str) -> Iterator[CompletionItem[str]]:
    given = _given(ctx, "words")
    yield from (_tag_of_given if given else _references)(api, ctx, incomplete)


def _edge(api: "ApiClient", ctx: click.Context, incomplete: str) -> Iterator[CompletionItem[str]]:
    up, colon, down = incomplete.rpartition(":")
    for op in _ops(api, ctx, down):
        yield CompletionItem(f"{up}{colon}{op.value}", help=op.help)


def _urls(_api: "ApiClient", _ctx: click.Context, incomplete: str) -> Iterator[CompletionItem[str]]:
    """Those that `login` kept a token for."""
    from opstore_cli.config.credentials import Credentials

    for url in sorted(Credentials().tokens()):
        if url.startswith(incomplete):
            yield CompletionItem(url)


def _given(ctx: click.Context, name: str) -> str:
    """The first word of the parameter so far."""
    value = ctx.params.get(name)
    if isinstance(value, tuple):
        value = value[0] if value else None
    return value if isinstance(value, str) else ""


_BY_WORD: dict[str, Ask] = {
    "NAME": _references,
    "[NAME]": _references,
    "REF": _references,
    "[REF]...": _references,
    "UP@SEL": _references,
    "UP[@SEL]": _references,
    "DOWN[@SEL]": _references,
    "OP": _ops,
    "[OP]...": _ops,
    "UP:DOWN": _edge,
    "PIPELINE": _pipelines,
    "(PIPELINE | UP[@SEL] DOWN[@SEL])": _pipelines_or_references,
    "TAG": _tag_of_given,
    "[REF] TAG": _reference_then_tag,
    "URL": _urls,
    "[URL]": _urls,
}
