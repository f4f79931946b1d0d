"""Who may ask what: Host, Origin, tokens and scopes. Asked by intake before a body is taken in, and by Flask again."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from werkzeug.http import parse_cookie

from opstore_daemon.protocol import errors, proof, routes
from opstore_daemon.web.sessions import Sessions, fingerprint

Scope = Literal["read", "write", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)  # each holds those before it

# Say ok and no more, to everybody; and where a session begins, whose code is what is guarded.
PUBLIC = frozenset([routes.HEALTH, routes.READY, routes.SIGN_IN])
_SIGNING_IN = routes.SIGN_IN.partition("<")[0]
LOOPBACK = frozenset(["127.0.0.1", "localhost", "[::1]"])

_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9.-]+)(?::([0-9]{1,5}))?")

GetHeader = Callable[[str], str | None]


def is_host(text: str) -> bool:
    """Whether a Host header can say that: a name or an address, and a port where it is not the usual one."""
    return _HOST.fullmatch(text.lower()) is not None


def is_public(path: str) -> bool:
    """Whether everybody may ask for the path."""
    return path in PUBLIC or path.startswith(_SIGNING_IN)


def is_page(path: str) -> bool:
    """Whether the path is one of the page, which takes a session in place of a token."""
    return path == routes.HOME or path.startswith(routes.PAGES)


def without_code(path: str) -> str:
    """The path as it may be written down: without the code that begins a session."""
    return routes.SIGN_IN if path.startswith(_SIGNING_IN) else path


def session_cookie(port: int) -> str:
    """The name of the cookie: browsers send one to every port of a host."""
    return f"opstore-session-{port}"


@dataclass(frozen=True, slots=True)
class Credential:
    """Who asks: `owner` is a name made of the token that tells nothing of it."""

    owner: str
    scope: Scope

    def require(self, scope: Scope) -> None:
        """Raises ScopeRequired where the token may not do that."""
        if SCOPES.index(self.scope) < SCOPES.index(scope):
            raise errors.ScopeRequired(scope=scope)


class Guards:
    """The tokens, the sessions of the page and the Hosts that count.

    Loopback's names with the port that is listened on are always this daemon's; `hosts` adds others, as they stand
    in the Host header (`models.example.com`, `models.example.com:8443`).
    """

    def __init__(self, tokens: Mapping[str, Scope], hosts: Iterable[str] = ()) -> None:
        self.sessions = Sessions()
        self._credentials = {fingerprint(token): scope for token, scope in tokens.items()}
        self._hosts = frozenset(host.lower() for host in hosts)

    def check(self, header: GetHeader, path: str, port: int) -> Credential | None:
        """The credential behind a request's head; None only where the path is public.

        Raises InvalidRequest, ForeignHost, ForeignOrigin, TokenRequired or, of the page, SessionRequired.
        """
        self._check_host(header("Host"), port)
        _check_site(header)
        if is_public(path):
            return None
        if is_page(path):
            return self._of_session(header("Cookie"), port)
        return self._authenticate(header("Authorization"))

    def prove(self, nonce: str, host: str, own: str) -> str | None:
        """Return the proof of each token for the authority in the Host header, with commas between them.

        None unless the authority is `own`, where this daemon listens, or one of `hosts`: whoever relays the request
        of a client names another one.
        """
        at = host.lower()
        if at != own and at not in self._hosts:
            return None
        return ", ".join(proof.prove(bytes.fromhex(each), nonce, at) for each in self._credentials)

    def _of_session(self, cookies: str | None, port: int) -> Credential:
        secret = parse_cookie(cookies).get(session_cookie(port), "")
        owner = self.sessions.owner(secret)
        if owner is None:
            raise errors.SessionRequired
        return Credential(owner, "read")

    def _check_host(self, host: str | None, port: int) -> None:
        # A page of a foreign site can make a browser ask us, under its own name for our address (DNS rebinding).
        if not host:
            raise errors.InvalidRequest(reason="it has no Host")
        match = _HOST.fullmatch(host.lower())
        if match is None:
            raise errors.ForeignHost(host=host[:200])
        name, given = match.groups()
        ours = name in LOOPBACK and int(given or 80) == port
        if not ours and host.lower() not in self._hosts:
            raise errors.ForeignHost(host=host[:200])

    def _authenticate(self, authorization: str | None) -> Credential:
        if not authorization:
            raise errors.TokenRequired(reason="the request has none")
        scheme, _, token = authorization.partition(" ")
        owner = fingerprint(token.strip())
        scope = self._credentials.get(owner)
        if scheme.lower() != "bearer" or scope is None:
            raise errors.TokenRequired(reason="the one given is not known here")
        return Credential(owner[:32], scope)


def _check_site(header: GetHeader) -> None:
    # Our own page asks from our own origin; a program sends neither header.
    site, origin = header("Sec-Fetch-Site"), header("Origin")
    if site is not None and site.lower() not in ("same-origin", "none"):
        raise errors.ForeignOrigin(reason=f"Sec-Fetch-Site is {site[:50]}")
    host = header("Host") or ""
    if origin is not None and origin.lower() not in (f"http://{host}".lower(), f"https://{host}".lower()):
        raise errors.ForeignOrigin(reason=f"the Origin is {origin[:200]}")


def check_content(header: GetHeader, *wanted: str) -> str:
    """The type of the body; raises UnsupportedContent unless it is a wanted one, and the body not encoded."""
    if header("Content-Encoding") is not None:
        raise errors.UnsupportedContent(reason="no Content-Encoding is taken")
    given = (header("Content-Type") or "").partition(";")[0].strip().lower()
    if given not in wanted:
        told = " or ".join(wanted)
        raise errors.UnsupportedContent(reason=f"its type is to be {told}, not {given[:100] or 'left out'}")
    return given


HIGHEST_COUNT = 10**18 - 1
_INTEGER = re.compile(r"0|[1-9][0-9]{0,17}", re.ASCII)


def parse_count(text: str | None, what: str, lowest: int = 0, highest: int = HIGHEST_COUNT) -> int:
    """A count in ASCII digits, within the bounds; raises InvalidRequest."""
    if text is None or _INTEGER.fullmatch(text) is None or not lowest <= int(text) <= highest:
        reason = f"{what} is to be a whole number from {lowest} to {highest}, not {str(text)[:50]!r}"
        raise errors.InvalidRequest(reason=reason)
    return int(text)
