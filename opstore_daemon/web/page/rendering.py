"""Code that the views of the web page share: the `as_of` of every URL, and the rendered response."""

import functools
import re
from collections.abc import Sequence
from typing import Annotated, Any
from urllib.parse import urlencode

from flask import Response, request
from msgspec import Meta

from opstore_daemon.web.framework.query_parameters import Query
from opstore_daemon.web.framework.routing import store
from opstore_daemon.web.page import templating

_WITHOUT_OFFSET = re.compile(r"\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2})?)?")


class AsOf(Query, frozen=True, kw_only=True):
    """The time that a page shows: `as_of`, or now if it is missing or empty."""

    as_of: Annotated[str, Meta(description="A position of the journal, or a time in UTC: the state to show.")] = ""

    @property
    def value(self) -> str | None:
        """The time in the form that the store takes: the date field of a form sends one without an offset."""
        text = self.as_of.strip()
        if _WITHOUT_OFFSET.fullmatch(text):
            return f"{text}Z" if "T" in text else f"{text}T00:00:00Z"
        return text or None


def page(template: str, query: AsOf, section: str | None = None, *, is_top: bool = False, **values: Any) -> Response:
    """Return the rendered template.

    `section` is the item of the navigation that the page belongs to, or (`is_top`) that it is. The template also gets
    `kept`, the parameters of this view except `as_of`; `here`, which returns the URL of this view with other values of
    its parameters; and `now`.
    """
    kept = [(name, value) for name, value in request.args.items(multi=True) if name != "as_of" and value]
    body = templating.render(
        template,
        as_of=query.as_of.strip() or None,
        signed_in=True,
        section=section,
        is_top=is_top,
        kept=kept,
        here=functools.partial(_here, [*kept, *([("as_of", query.as_of)] if query.as_of else [])]),
        now=store().now(),
        **values,
    )
    return Response(body, headers=templating.HEADERS)


def _here(current: Sequence[tuple[str, str]], **changes: object) -> str:
    """Return the URL of the view with these parameters changed; None removes one."""
    rest = [(name, value) for name, value in current if name not in changes]
    return "?" + urlencode([*rest, *((name, value) for name, value in changes.items() if value is not None)])
