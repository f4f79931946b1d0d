"""What the views of the page share: how they answer, and what every address may say."""

import re
from typing import Annotated, Any

from flask import Response
from msgspec import Meta

from opstore_daemon.protocol import errors
from opstore_daemon.web.framework.possible_errors import PICKING, READING
from opstore_daemon.web.framework.query_parameters import Query
from opstore_daemon.web.framework.routing import Answer
from opstore_daemon.web.page import templating

SHOWN = {200: Answer(templating.TYPE, "The page.")}
RAISES = (*READING, *PICKING, errors.PipelineNotFound, errors.SessionRequired)

_WITHOUT_OFFSET = re.compile(r"\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2})?)?")


class Looking(Query, frozen=True, kw_only=True):
    """Of which time a page tells: of now where nothing, or nothing at all, is given."""

    as_of: Annotated[str, Meta(description="As it was: a position of the journal, or a time, in UTC.")] = ""

    @property
    def then(self) -> str | None:
        """What the store understands: what a date field of a form says has no offset."""
        given = self.as_of.strip()
        if _WITHOUT_OFFSET.fullmatch(given):
            return f"{given}Z" if "T" in given else f"{given}T00:00:00Z"
        return given or None


def page(template: str, looking: Looking, **values: Any) -> Response:
    """The template as an answer."""
    body = templating.render(template, as_of=looking.as_of.strip() or None, signed_in=True, **values)
    return Response(body, headers=templating.HEADERS)
