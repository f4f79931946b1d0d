"""Normalize and check URLs of daemons."""

import re
from ipaddress import IPv6Address, ip_address
from urllib.parse import urlsplit

from opstore_daemon.protocol import errors

PORTS = {"http": 80, "https": 443}
MAX_NAME = 254  # characters of a host name, with a dot at its end
BAD_HOST = "its host is neither a name nor an address"
BAD_PORT = "its port is not a number from 1 to 65535"

_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?", re.IGNORECASE)  # also an IPv4 address
_BRACKETS = re.compile(r"\[[^\[\]]*\](?::.*)?")
_ZONE = re.compile(r"[a-z0-9._~-]{1,32}", re.IGNORECASE)  # of a link-local address: a network interface


def check_url(text: str, setting: str) -> str:
    """Return the URL of a daemon in the normalized form, in which URLs are compared. Raises InvalidSetting.

    Scheme and host are in lower case; the scheme's default port and a trailing slash are removed. `setting` names the
    source of the URL in the error.
    """
    reason = _fault(text)
    if reason is not None:
        # Neither the URL nor a part of it is in the error: it may contain a password.
        raise errors.InvalidSetting(setting=setting, reason=reason)
    parts = urlsplit(text)
    host = parts.hostname or ""
    port = "" if parts.port in (None, PORTS[parts.scheme]) else f":{parts.port}"
    return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}{port}{parts.path.rstrip('/')}"


def _fault(text: str) -> str | None:
    """Return what is wrong with the URL, in words without any part of it, or None."""
    if not text.isprintable() or not text.isascii() or " " in text or "\\" in text:
        return "it is not a URL"
    try:
        parts = urlsplit(text)
    except ValueError:  # of square brackets
        return BAD_HOST
    if parts.scheme not in PORTS or not parts.hostname:
        return "a URL begins with http:// or https:// and names a host"
    if "@" in parts.netloc:
        return "it contains a user or a password: pass a token in OPSTORE_TOKEN or OPSTORE_TOKEN_FILE"
    if "?" in text or "#" in text:
        return "it has a query or a fragment"
    is_host = (
        _is_ipv6(parts.hostname) if _BRACKETS.fullmatch(parts.netloc) else _is_name(parts.netloc.partition(":")[0])
    )
    if not is_host:
        return BAD_HOST
    try:
        return None if parts.port != 0 else BAD_PORT
    except ValueError:
        return BAD_PORT


def _is_name(host: str) -> bool:
    return len(host) <= MAX_NAME and _NAME.fullmatch(host) is not None


def _is_ipv6(host: str) -> bool:
    address, percent, zone = host.partition("%")
    try:
        IPv6Address(address)
    except ValueError:
        return False
    return not percent or _ZONE.fullmatch(zone) is not None


def is_loopback(url: str) -> bool:
    """Return whether the URL's host is certainly this machine: 127.0.0.0/8, ::1 or localhost."""
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
