"""Rules of the application's URLs that do not slow its start."""

import functools
from collections.abc import Callable

from werkzeug.routing import Rule


class UrlRule(Rule):
    """A rule that compiles what builds URLs of it when somebody asks for one (`flask.url_for`).

    Nobody does but an operator, and compiling it for all routes takes half of the time in which a server is made.
    """

    def _compile_builder(self, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
        # Werkzeug has no public hook for it. If it calls another method one day, only the time is lost.
        compiled = functools.cache(lambda: Rule._compile_builder(self, append_unknown))
        return lambda rule, /, **values: compiled()(rule, **values)
