"""The web page: the store as HTML, for people. It only reads, needs a session, and works without JavaScript.

Its views, templates and drawings are imported with the first request for a page, not when the daemon starts.
"""

import functools
import importlib
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flask import Response, request

from opstore_daemon.protocol import routes
from opstore_daemon.web.framework import query_parameters
from opstore_daemon.web.framework.query_parameters import Query
from opstore_daemon.web.framework.routing import Api, Route


@dataclass(frozen=True, kw_only=True)
class PageRoute(Route):
    """A page. `view` names a function in a module of this package: `MODULE.FUNCTION`."""

    view: str

    def respond(self, api: Api, arguments: dict[str, Any]) -> Response:
        """Run the view; import its module if this is the first request for it."""
        view, query_type = _load(self.view)
        query = query_parameters.read(query_type, request.args)
        if query_type is not Query:
            arguments["query"] = query
        return view(api, **arguments)


@functools.cache
def _load(name: str) -> tuple[Callable[..., Response], type[Query]]:
    """Return a view and the type of its query."""
    module, _, function = name.partition(".")
    view: Callable[..., Response] = getattr(importlib.import_module(f"{__name__}.{module}"), function)
    return view, typing.get_type_hints(view).get("query", Query)


PAGES = (
    PageRoute(method="GET", rule=routes.SIGN_IN, scope=None, view="session.start"),
    PageRoute(method="POST", rule=routes.SIGN_OUT, scope="read", view="session.end"),
    PageRoute(method="GET", rule=routes.HOME, scope="read", view="ops.home"),
    PageRoute(method="GET", rule=routes.OP_PAGE, scope="read", view="ops.op"),
    PageRoute(method="GET", rule=routes.VERSION_PAGE, scope="read", view="ops.version"),
    PageRoute(method="GET", rule=routes.DOWNLOAD, scope="read", view="download.download"),
    PageRoute(method="GET", rule=routes.COMPARISON_PAGE, scope="read", view="comparison.comparison"),
    PageRoute(method="GET", rule=routes.MATRIX_PAGE, scope="read", view="matrix.matrix"),
    PageRoute(method="GET", rule=routes.MATRIX_MAP, scope="read", view="matrix.matrix_map"),
    PageRoute(method="GET", rule=routes.PIPELINES_PAGE, scope="read", view="pipelines.list_pipelines"),
    PageRoute(method="GET", rule=routes.PIPELINE_PAGE, scope="read", view="pipelines.pipeline"),
    PageRoute(method="GET", rule=routes.EDGE_PAGE, scope="read", view="edge.edge"),
    PageRoute(method="GET", rule=routes.RUNS_PAGE, scope="read", view="runs.list_runs"),
    PageRoute(method="GET", rule=routes.RUN_PAGE, scope="read", view="runs.run"),
    PageRoute(method="GET", rule=routes.JOURNAL_PAGE, scope="read", view="journal.journal"),
    PageRoute(method="GET", rule=routes.SEARCH_PAGE, scope="read", view="search.search"),
)
