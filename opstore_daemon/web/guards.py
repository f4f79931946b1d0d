"""Access control: Host, Origin, tokens, sessions and scopes.

The request parser checks before it reads a body, and Flask checks again, for other servers.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from opstore_daemon.protocol import errors, proof, routes
from opstore_daemon.store.page_sessions import PageSessions, fingerprint
from opstore_daemon.web.request_values import GetHeader

Scope = Literal["read", "write", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)  # each includes those before it

# Two routes that only return "ok", and the start of a session, which needs a code.
PUBLIC = frozenset([routes.HEALTH, routes.READY, routes.SIGN_IN])
_SIGN_IN = routes.SIGN_IN.partition("<")[0]
LOOPBACK = frozenset(["127.0.0.1", "localhost", "[::1]"])

_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9.-]+)(?::([0-9]{1,5}))?")


def is_host(text: str) -> bool:
    """Return whether this may be a Host header: a name or an address, with or without a port."""
    return _HOST.fullmatch(text.lower()) is not None


def is_public(path: str) -> bool:
    """Return whether the path needs neither token nor session."""
    return path in PUBLIC or path.startswith(_SIGN_IN)


def is_page(path: str) -> bool:
    """Return whether the path belongs to the web page, which takes a session in place of a token."""
    return path == routes.HOME or path.startswith(routes.PAGES)


def redacted_path(path: str) -> str:
    """Return the path as it may be logged: without the code that starts a session."""
    return routes.SIGN_IN if path.startswith(_SIGN_IN) else path


def session_cookie(host: str) -> str:
    """Return the name of the session cookie for the Host of a request.

    It has the port, since browsers send a cookie to every port of its host: that of the Host, and not the one that this
    daemon listens on. Behind a load balancer, all daemons of a store share their sessions.
    """
    match = _HOST.fullmatch(host.lower())
    return f"opstore-session-{(match and match[2]) or 80}"


@dataclass(frozen=True, slots=True)
class Credential:
    """What a request may do. `owner` identifies its token without revealing it."""

    owner: str
    scope: Scope

    def require(self, scope: Scope) -> None:
        """Raise ScopeRequired unless the credential includes the scope."""
        if SCOPES.index(self.scope) < SCOPES.index(scope):
            raise errors.ScopeRequired(scope=scope)


class Guards:
    """The tokens, the sessions of the web page, and the Hosts that requests may name.

    The names of loopback with the port that the server listens on are always accepted; `hosts` are further ones, as
    they appear in the Host header (`models.example.com`, `models.example.com:8443`).
    """

    def __init__(self, tokens: Mapping[str, Scope], sessions: PageSessions, hosts: Iterable[str] = ()) -> None:
        self.sessions = sessions
        self._credentials = {fingerprint(token): scope for token, scope in tokens.items()}
        self._owners = frozenset(map(_owner, self._credentials))
        self._proof_keys = [bytes.fromhex(each) for each in self._credentials]
        self._hosts = frozenset(host.lower() for host in hosts)

    def check(self, header: GetHeader, path: str, port: int) -> Credential | None:
        """Return the credential of a request, from its head; None if the path is public.

        Raises what `check_head` raises, for a path of the page SessionRequired, and DatabaseFailed.
        """
        credential = self.check_head(header, path, port)
        return self._check_session(header) if is_page(path) and not is_public(path) else credential

    def check_head(self, header: GetHeader, path: str, port: int) -> Credential | None:
        """Return the credential of a request that has a token; None for public paths, and for the page.

        Sessions are in the database, for which the server's loop must not wait: `check` looks for them. Neither kind
        of path takes a body. Raises InvalidRequest, ForeignHost, ForeignOrigin and TokenRequired.
        """
        self._check_host(header("Host"), port)
        _check_origin(header)
        return None if is_public(path) or is_page(path) else self._check_token(header("Authorization"))

    def prove(self, nonce: str, host: str, own: str) -> str | None:
        """Return the proof of each token and added secret for the authority in the Host header, separated by commas.

        None unless the authority is `own`, where this daemon listens, or one of `hosts`: a request that another process
        relays names that process.
        """
        authority = host.lower()
        if authority != own and authority not in self._hosts:
            return None
        return ", ".join(proof.prove(key, nonce, authority) for key in self._proof_keys)

    def add_proof(self, secret: str) -> None:
        """Have `prove` also return a proof of this secret, which is not a token."""
        self._proof_keys.append(proof.key_of(secret))

    def _check_session(self, header: GetHeader) -> Credential:
        owner = self.sessions.owner(_cookie(header("Cookie") or "", session_cookie(header("Host") or "")))
        if owner is None or owner not in self._owners:  # of a token that the daemon had before
            raise errors.SessionRequired
        return Credential(owner, "read")

    def _check_host(self, host: str | None, port: int) -> None:
        # DNS rebinding: a foreign site can make its own name resolve to our address, so that browsers send us requests.
        if not host:
            raise errors.InvalidRequest(reason="it has no Host")
        match = _HOST.fullmatch(host.lower())
        if match is None:
            raise errors.ForeignHost(host=host[:200])
        name, host_port = match.groups()
        is_loopback = name in LOOPBACK and int(host_port or 80) == port
        if not is_loopback and host.lower() not in self._hosts:
            raise errors.ForeignHost(host=host[:200])

    def _check_token(self, authorization: str | None) -> Credential:
        if not authorization:
            raise errors.TokenRequired(reason="the request has no token")
        scheme, _, token = authorization.partition(" ")
        owner = fingerprint(token.strip())
        scope = self._credentials.get(owner)
        if scheme.lower() != "bearer" or scope is None:
            raise errors.TokenRequired(reason="the token of the request is not valid")
        return Credential(_owner(owner), scope)


def _owner(hashed: str) -> str:
    """Return what identifies a token, of which this is the SHA-256, without revealing it."""
    return hashed[:32]


def _cookie(cookies: str, name: str) -> str:
    """Return the value of a cookie; "" if there is none.

    Called before anybody is authenticated: werkzeug's parser takes 30 ms for a long header.
    """
    found = f"; {cookies}".partition(f"; {name}=")[2]
    return found.partition(";")[0].strip()


def _check_origin(header: GetHeader) -> None:
    # Our own page sends our own origin; a program sends neither header.
    site, origin = header("Sec-Fetch-Site"), header("Origin")
    if site is not None and site.lower() not in ("same-origin", "none"):
        raise errors.ForeignOrigin(reason=f"Sec-Fetch-Site is {site[:50]}")
    host = header("Host") or ""
    if origin is not None and origin.lower() not in (f"http://{host}".lower(), f"https://{host}".lower()):
        raise errors.ForeignOrigin(reason=f"the Origin is {origin[:200]}")
