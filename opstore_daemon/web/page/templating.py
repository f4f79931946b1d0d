"""HTML from templates. What users wrote is text, never markup; and the page needs nothing that it does not hold itself.

Its style and its script stand in it, and its policy names their digests: so nothing else runs or is loaded, and there
is no file that would have to be served to everybody.
"""

import base64
import functools
import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from importlib import resources
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from opstore_daemon.protocol import errors, routes
from opstore_daemon.protocol._version import __version__
from opstore_daemon.rules.verdict import Verdict

TYPE = "text/html; charset=utf-8"
SVG = "image/svg+xml"
SIGNS = {"valid": "✓", "invalid": "✕", "unknown": "?"}


def _own(name: str) -> Markup:
    return Markup(resources.files(__package__).joinpath(name).read_text("utf-8"))  # noqa: S704 - it is ours


def _source(text: str) -> str:
    """What a policy calls it (Content Security Policy Level 3, section 2.3.1)."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


_STYLE, _SCRIPT = _own("style.css"), _own("script.js")
POLICY = "; ".join(
    [
        "default-src 'none'",
        "img-src 'self' data:",
        f"style-src {_source(_STYLE)}",
        f"script-src {_source(_SCRIPT)}",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    ]
)
HEADERS = {
    "Content-Type": TYPE,
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    # With no-referrer, a browser would say of our own forms that their origin is null.
    "Referrer-Policy": "same-origin",
}


def render(template: str, **values: Any) -> str:
    """The template with its values."""
    return _environment().get_template(template).render(values)


def error_page(error: errors.OpStoreError) -> str:
    """Return a page that reports the error."""
    return render("error.html", error=error, as_of=None, signed_in=error.status not in (401, 403))


def cells(line: Sequence[Verdict], begin: str, ends: Sequence[str]) -> Markup:
    """A row of the matrix: each cell leads to the address that begins and ends so.

    Made here, since a template takes four times as long for a thousand of them.
    """
    before, behind = escape(begin), [escape(end) for end in ends]
    made = (
        f'<td class="{cell.word}"><a href="{before}{end}" aria-label="{cell.word}: {escape(cell.reason)}">'
        f"{SIGNS[cell.word]}</a></td>"
        for cell, end in zip(line, behind, strict=True)
    )
    return Markup("".join(made))  # noqa: S704 - all that is not ours is escaped


def address(rule: str, /, query: Mapping[str, Any] | None = None, **parts: object) -> str:
    """The path and query of a page; parameters that are None are left out."""
    path = routes.path(rule, **{name: str(value) for name, value in parts.items()})
    asked = parameters(query or {})
    return f"{path}?{asked[1:]}" if asked else path


def parameters(query: Mapping[str, Any]) -> str:
    """More parameters behind an address that has some."""
    asked = urlencode({name: value for name, value in query.items() if value is not None})
    return f"&{asked}" if asked else ""


@functools.cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("opstore_daemon.web.page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {
        "address": address,
        "routes": routes,
        "script": _SCRIPT,
        "signs": SIGNS,
        "style": _STYLE,
        "release": __version__,
    }
    environment.filters |= {"exact": _exact, "moment": _moment, "size": _size, "short": _short}
    return environment


def _moment(time: datetime) -> str:
    """To the minute, in UTC, as a table has it."""
    return time.astimezone(UTC).strftime("%Y-%m-%d %H:%M")


def _exact(time: datetime) -> str:
    """RFC 3339."""
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _size(count: int) -> str:
    """Bytes, in units of thousands."""
    size, units = float(count), iter(("B", "kB", "MB", "GB", "TB"))
    unit = next(units)
    while size >= 999.5 and unit != "TB":
        size, unit = size / 1000, next(units)
    digits = 0 if unit == "B" or size >= 99.95 else 1
    return f"{size:.{digits}f} {unit}"


def _short(digest: str) -> str:
    """The beginning of a digest, as a reference may name it."""
    return digest.removeprefix("sha256:")[:12]
