"""Code that the views of the web page share: the `as_of` of every URL, and the rendered response."""

import functools
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import urlencode

from flask import Response, request
from msgspec import Meta

from opstore_daemon.protocol import times
from opstore_daemon.web.framework.query_parameters import Query
from opstore_daemon.web.framework.routing import store
from opstore_daemon.web.page import templating


class AsOf(Query, frozen=True, kw_only=True):
    """The time that a page shows: `as_of`, or now if it is missing or empty."""

    as_of: Annotated[
        str, Meta(description="A position of the journal, a time in UTC or a relative time: the state to show.")
    ] = ""

    @property
    def value(self) -> str | None:
        """The position, or the time in the form that the store takes; raises InvalidRequest.

        A time without an offset, as the date field of a form sends it, is in UTC. A relative time becomes an exact one,
        so that the links of a page lead to one state.
        """
        text = self.as_of.strip()
        if not text:
            return None
        with suppress(ValueError, OverflowError):  # parse() says why
            moment = None if text.isdigit() else datetime.fromisoformat(text)
            if moment is not None and moment.tzinfo is None:
                return str(times.AsOf.of(moment.replace(tzinfo=UTC)))
        return str(times.AsOf.parse(text, store().now()))


def page(template: str, query: AsOf, section: str | None = None, *, is_top: bool = False, **values: Any) -> Response:
    """Return the rendered template.

    `section` is the item of the navigation that the page belongs to, or (`is_top`) that it is. The template also gets
    `kept`, the parameters of this view except `as_of`; `here`, which returns the URL of this view with other values of
    its parameters; `past`, the option of commands for this state; and `now`.
    """
    kept = [(name, value) for name, value in request.args.items(multi=True) if name != "as_of" and value]
    as_of = query.value
    body = templating.render(
        template,
        as_of=as_of,
        past=f" --as-of {as_of}" if as_of else "",
        signed_in=True,
        section=section,
        is_top=is_top,
        kept=kept,
        here=functools.partial(_here, [*kept, *([("as_of", as_of)] if as_of else [])]),
        now=store().now(),
        **values,
    )
    return Response(body, headers=templating.HEADERS)


def _here(current: Sequence[tuple[str, str]], **changes: object) -> str:
    """Return the URL of the view with these parameters changed; None removes one."""
    rest = [(name, value) for name, value in current if name not in changes]
    return "?" + urlencode([*rest, *((name, value) for name, value in changes.items() if value is not None)])
