"""Render templates. User input is always escaped, and a page is self-contained.

Style and script are inline, and the content security policy has their digests: nothing else runs or is loaded, and no
file has to be served without a session.
"""

import base64
import functools
import hashlib
import re
from collections.abc import Mapping, Sequence
from html import escape
from importlib import resources
from typing import Any
from urllib.parse import urlencode

from flask import has_request_context, request
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from opstore_daemon.protocol import errors, routes
from opstore_daemon.protocol._version import __version__
from opstore_daemon.protocol.durations import format_duration
from opstore_daemon.protocol.records.runs import command_text
from opstore_daemon.protocol.sizes import format_size
from opstore_daemon.rules.verdict import Verdict
from opstore_daemon.web.page import looks, words

TYPE = "text/html; charset=utf-8"
SVG = "image/svg+xml"

# The headings of pages that report an error, by its code and else by its status.
HEADINGS = {
    "OpNotFound": "There is no such op",
    "VersionNotFound": "There is no such version",
    "VersionRemoved": "This version was removed",
    "TagNotFound": "There is no such version or tag",
    "PipelineNotFound": "There is no such pipeline",
    "RunNotFound": "There is no such run",
    "RouteNotFound": "There is no such page",
    "NotStored": "This version has no bytes",
    "SessionRequired": "Sign in to see this page",
    "ForeignOrigin": "This page can't be opened from another site",
}


def _own_file(name: str) -> Markup:
    return Markup(resources.files(__package__).joinpath(name).read_text("utf-8"))  # noqa: S704 - not user input


def _hash_source(text: str) -> str:
    """Return the hash-source of an inline style or script (Content Security Policy Level 3, section 2.3.1)."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


_STYLE, _SCRIPT = _own_file("style.css"), _own_file("script.js")
POLICY = "; ".join(
    [
        "default-src 'none'",
        "img-src 'self' data:",
        f"style-src {_hash_source(_STYLE)}",
        f"script-src {_hash_source(_SCRIPT)}",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    ]
)
HEADERS = {
    "Content-Type": TYPE,
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    # With no-referrer, a browser would send `Origin: null` with our own forms.
    "Referrer-Policy": "same-origin",
}


def render(template: str, **values: Any) -> str:
    """Return the template filled with the values."""
    return _environment().get_template(template).render(values)


def error_page(error: errors.OpStoreError) -> str:
    """Return a page that reports the error."""
    return outside(
        "error.html",
        error=error,
        heading=_heading(error),
        text=_sentence(error, str(error.details.get("reason", "")) if error.code == "InvalidRequest" else error.text),
        advice=_sentence(error, error.advice),
        signed_in=error.status not in (401, 403),
        as_of=error.details.get("as_of") if error.status == 404 else None,
    )


def outside(template: str, *, signed_in: bool, as_of: str | None = None, **values: Any) -> str:
    """Return a page that shows no state of the store; its links lead to the state of `as_of`."""
    frame = {"as_of": as_of, "here": None, "kept": (), "section": None, "is_top": False}
    return render(template, signed_in=signed_in, **frame, **values)


def _sentence(error: errors.OpStoreError, text: str) -> str:
    """Return the text of the error as a sentence; a name at its start stays as it is."""
    if not text:
        return ""
    values = tuple(each for key, each in error.details.items() if key != "reason" and isinstance(each, str) and each)
    is_name = text.startswith(values) or text.partition(" ")[0] in _given() or not text[0].isalpha()
    return (text if is_name else text[0].upper() + text[1:]) + ("" if text[-1] in ".?!" else ".")


def _given() -> set[str]:
    """Return the names and values in the address of the request: a reason that begins with one does not say which."""
    if not has_request_context():
        return set()
    return {str(each) for each in (request.view_args or {}).values()} | set(request.args) | set(request.args.values())


def _heading(error: errors.OpStoreError) -> str:
    if error.code in HEADINGS:
        return HEADINGS[error.code]
    if error.status == 404:
        return "Not found"
    if error.status == 400:
        return "This address does not work"
    return "The page can't show this" if error.status < 500 else "The store can't respond"


def cells(verdicts: Sequence[Verdict], start: str, ends: Sequence[str]) -> Markup:
    """Return the cells of a row of the matrix; the URL of each is `start` followed by its end.

    Not a template: for a thousand cells that takes four times as long.
    """
    escaped_start, escaped_ends = escape(start), [escape(end) for end in ends]
    html = (
        f'<td class="{look.name}">'
        f'<a href="{escaped_start}{end}" aria-label="{look.text}: {escape(verdict.reason)}">'
        f"{look.sign}</a></td>"
        for look, verdict, end in zip(map(looks.look, verdicts), verdicts, escaped_ends, strict=True)
    )
    return Markup("".join(html))  # noqa: S704 - all that users wrote is escaped


def address(rule: str, /, query: Mapping[str, Any] | None = None, **path_parameters: object) -> str:
    """Return the path and query of a page; query parameters that are None are omitted."""
    path = routes.path(rule, **{name: str(value) for name, value in path_parameters.items()})
    more = parameters(query or {})
    return f"{path}?{more[1:]}" if more else path


def parameters(query: Mapping[str, Any]) -> str:
    """Return parameters to append to a URL that has a query; those that are None are omitted."""
    encoded = urlencode({name: value for name, value in query.items() if value is not None})
    return f"&{encoded}" if encoded else ""


def _command(text: str) -> Markup:
    """Return a command whose options are not broken at their hyphens."""
    html = re.sub(r"(?<= )--[a-z-]+", r'<span class="option">\g<0></span>', escape(words.visible(text)))
    return Markup(html)  # noqa: S704 - escaped


def _visible(value: Any) -> Any:
    """Show the invisible characters of a text; one that is escaped already, with the filter `e`, stays as it is."""
    return words.visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


@functools.cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("opstore_daemon.web.page"),
        autoescape=True,
        finalize=_visible,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {
        "address": address,
        "looks": looks.LOOKS,
        "routes": routes,
        "script": _SCRIPT,
        "style": _STYLE,
        "release": __version__,
    }
    environment.filters |= {
        "ago": words.ago,
        "as_of_button": words.as_of_button,
        "as_of_text": words.as_of_text,
        "command": _command,
        "command_text": command_text,
        "duration": format_duration,
        "exact": words.exact,
        "excerpt": words.excerpt,
        "look": looks.look,
        "middle": words.middle,
        "moment": words.moment,
        "readable": words.readable,
        "result": looks.result_look,
        "short": words.short,
        "size": format_size,
    }
    return environment
