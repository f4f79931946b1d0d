"""Code that the views of the web page share: the `as_of` of every URL, and the rendered response."""

import re
from typing import Annotated, Any

from flask import Response
from msgspec import Meta

from opstore_daemon.web.framework.query_parameters import Query
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


def page(template: str, query: AsOf, **values: Any) -> Response:
    """Return the rendered template."""
    body = templating.render(template, as_of=query.as_of.strip() or None, signed_in=True, **values)
    return Response(body, headers=templating.HEADERS)
