"""Shell completion of names, references, tags, pipelines and URLs, from what the daemon has.

The shell waits for it at each Tab, so it waits only briefly for the daemon, starts none, and ignores every failure.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from opstore_cli.console.session import Session
from opstore_cli.console.time_limit import time_limit
from opstore_daemon.protocol import errors, routes
from opstore_daemon.protocol.names import is_name
from opstore_daemon.protocol.records import Ops, Pipelines, Runs, Tags, Versions
from opstore_daemon.protocol.records.runs import command_text

if TYPE_CHECKING:
    from opstore_cli.transport.api import ApiClient

MAX_CANDIDATES = 200
_AFTER_NAMES = "~"  # sorts after every character of a name

Source = Callable[["ApiClient", click.Context, str], Iterable[CompletionItem[str]]]


def complete(source: Source, ctx: click.Context, incomplete: str) -> list[CompletionItem[str]]:
    """Return the candidates of the source, or none if it fails or takes too long."""
    found: list[CompletionItem[str]] = []
    thread = threading.Thread(target=lambda: found.extend(_query(source, ctx, incomplete)), daemon=True)
    thread.start()
    thread.join(time_limit())
    return list(found)


def _query(source: Source, ctx: click.Context, incomplete: str) -> list[CompletionItem[str]]:
    from opstore_cli.client.client import OpStoreClient
    from opstore_cli.transport.api import ApiClient

    session = ctx.find_object(Session) or Session()
    with suppress(errors.OpStoreError, OSError, ValueError):
        settings = replace(session.settings(), autostart=False)
        with OpStoreClient(settings=settings, notify=lambda _: None, warn=lambda _: None) as client:
            return list(source(ApiClient(client), ctx, incomplete))
    return []


# --- sources --------------------------------------------------------------------------------------------------------


def ops(api: "ApiClient", _ctx: click.Context, incomplete: str) -> Iterator[CompletionItem[str]]:
    """Yield the ops whose names start with `incomplete`."""
    for op in api.request("GET", routes.OPS, Ops, parameters=_page(incomplete)).ops:
        if op.name.startswith(incomplete):
            yield CompletionItem(op.name, help=op.latest or "no version")


def pipelines(api: "ApiClient", _ctx: click.Context, incomplete: str) -> Iterator[CompletionItem[str]]:
    """Yield the pipelines whose names start with `incomplete`."""
    for pipeline in api.request("GET", routes.PIPELINES, Pipelines, parameters=_page(incomplete)).pipelines:
        if pipeline.name.startswith(incomplete):
            yield CompletionItem(pipeline.name, help=f"{len(pipeline.ops)} ops")


def names(api: "ApiClient", ctx: click.Context, incomplete: str) -> Iterator[CompletionItem[str]]:
    """Yield the ops and the pipelines whose names start with `incomplete`."""
    yield from ops(api, ctx, incomplete)
    yield from pipelines(api, ctx, incomplete)


def references(api: "ApiClient", ctx: click.Context, incomplete: str) -> Iterator[CompletionItem[str]]:
    """Yield ops, or after an `@` the tags and version numbers of that op."""
    op, at, selector = incomplete.partition("@")
    if not at:
        yield from ops(api, ctx, incomplete)
    elif is_name(op):
        for item in (*_tags_of(api, op, selector), *_numbers_of(api, op, selector)):
            yield CompletionItem(f"{op}@{item.value}", help=item.help)


def tags(api: "ApiClient", ctx: click.Context, incomplete: str) -> Iterator[CompletionItem[str]]:
    """Yield the tags of the op that an earlier argument names."""
    op = (_first_word(ctx, "name") or _first_word(ctx, "words")).partition("@")[0]
    if is_name(op):
        yield from _tags_of(api, op, incomplete)


def label_keys(api: "ApiClient", ctx: click.Context, incomplete: str) -> Iterator[CompletionItem[str]]:
    """Yield the keys of the labels that the newest versions of the op have which an earlier argument names."""
    for key, values in sorted(_labels_of(api, ctx).items()):
        if key.startswith(incomplete):
            yield CompletionItem(key, help=", ".join(sorted(values))[:60])


def labels(api: "ApiClient", ctx: click.Context, incomplete: str) -> Iterator[CompletionItem[str]]:
    """Yield keys as `label_keys` does, or after a `=` the values of that key."""
    key, equals, value = incomplete.partition("=")
    if not equals:
        for item in label_keys(api, ctx, incomplete):
            yield CompletionItem(f"{item.value}=", help=item.help)
        return
    for each in sorted(_labels_of(api, ctx).get(key, ())):
        if each.startswith(value):
            yield CompletionItem(f"{key}={each}")


def _labels_of(api: "ApiClient", ctx: click.Context) -> dict[str, set[str]]:
    """Return the values of each label of the newest versions of the op that is named so far."""
    # click does not assign the arguments if the value of the option that is completed is missing still.
    word = next(iter(ctx.args), "") or _first_word(ctx, "reference") or _first_word(ctx, "references")
    op = word.partition("@")[0]
    found: dict[str, set[str]] = {}
    if is_name(op):
        path = routes.path(routes.VERSIONS, op=op)
        for version in api.request("GET", path, Versions, parameters={"limit": MAX_CANDIDATES}).versions:
            for key, value in version.labels.items():
                found.setdefault(key, set()).add(value)
    return found


def reference_then_tag(api: "ApiClient", ctx: click.Context, incomplete: str) -> Iterator[CompletionItem[str]]:
    """Yield references for the first word, and tags of its op for the others."""
    source = tags if _first_word(ctx, "words") else references
    yield from source(api, ctx, incomplete)


def pipelines_or_references(api: "ApiClient", ctx: click.Context, incomplete: str) -> Iterator[CompletionItem[str]]:
    """Yield references, and for the first word pipelines."""
    if not ctx.params.get("subject"):
        yield from pipelines(api, ctx, incomplete)
    yield from references(api, ctx, incomplete)


def runs(api: "ApiClient", _ctx: click.Context, incomplete: str) -> Iterator[CompletionItem[str]]:
    """Yield the numbers of the newest runs that start with `incomplete`."""
    for run in api.request("GET", routes.RUNS, Runs, parameters={"limit": MAX_CANDIDATES}).runs:
        if str(run.position).startswith(incomplete):
            help_text = f"{run.result}: {command_text(run.command, 40)}"
            yield CompletionItem(str(run.position), help=help_text)


def edges(api: "ApiClient", ctx: click.Context, incomplete: str) -> Iterator[CompletionItem[str]]:
    """Yield ops for either end of `UP:DOWN`."""
    upstream, colon, downstream = incomplete.rpartition(":")
    for op in ops(api, ctx, downstream):
        yield CompletionItem(f"{upstream}{colon}{op.value}", help=op.help)


def login_urls(_api: "ApiClient", _ctx: click.Context, incomplete: str) -> Iterator[CompletionItem[str]]:
    """Yield the URLs that the user is logged in to."""
    from opstore_cli.config.credentials import Credentials

    for url in sorted(Credentials().tokens()):
        if url.startswith(incomplete):
            yield CompletionItem(url)


def _page(prefix: str) -> dict[str, Any]:
    """Return the query parameters of the page of names that starts at the prefix."""
    before = prefix[:-1] + chr(ord(prefix[-1]) - 1) + _AFTER_NAMES * 3 if prefix else ""
    return {"limit": MAX_CANDIDATES, "cursor": before}


def _tags_of(api: "ApiClient", op: str, incomplete: str) -> Iterator[CompletionItem[str]]:
    for tag in api.request("GET", routes.TAGS, Tags, parameters={"op": op, "limit": MAX_CANDIDATES}).tags:
        if tag.tag.startswith(incomplete):
            yield CompletionItem(tag.tag, help=f"is {tag.version}")


def _numbers_of(api: "ApiClient", op: str, incomplete: str) -> Iterator[CompletionItem[str]]:
    path = routes.path(routes.VERSIONS, op=op)
    for version in api.request("GET", path, Versions, parameters={"limit": MAX_CANDIDATES}).versions:
        if version.version.startswith(incomplete):
            yield CompletionItem(version.version, help=version.registered_at.date().isoformat())


def _first_word(ctx: click.Context, name: str) -> str:
    """Return the value of the parameter so far, or its first word; empty if there is none."""
    value = ctx.params.get(name)
    if isinstance(value, tuple):
        value = value[0] if value else None
    return value if isinstance(value, str) else ""
