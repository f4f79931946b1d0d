"""Normalize and check URLs of daemons."""

from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

from opstore_daemon.protocol import errors

PORTS = {"http": 80, "https": 443}


def check_url(text: str, setting: str) -> str:
    """Return the URL of a daemon in the normalized form, in which URLs are compared. Raises InvalidSetting.

    Scheme and host are in lower case; the scheme's default port and a trailing slash are removed. `setting` names the
    source of the URL in the error.
    """
    try:
        parts = urlsplit(text)
        reason = _url_fault(text, parts)
    except ValueError as error:
        reason = str(error)
    if reason is not None:
        # The URL is not part of the error: it may contain a password.
        raise errors.InvalidSetting(setting=setting, reason=reason)
    host = parts.hostname or ""
    port = "" if parts.port in (None, PORTS[parts.scheme]) else f":{parts.port}"
    return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}{port}{parts.path.rstrip('/')}"


def _url_fault(text: str, parts: SplitResult) -> str | None:
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return "a URL begins with http:// or https:// and names a host"
    if not text.isprintable() or not text.isascii() or " " in text or "\\" in text or parts.port == 0:
        return "it is not a URL"
    if "@" in parts.netloc:
        return "it contains a user or a password: pass a token in OPSTORE_TOKEN or OPSTORE_TOKEN_FILE"
    if "?" in text or "#" in text:
        return "it has a query or a fragment"
    return None


def is_loopback(url: str) -> bool:
    """Return whether the URL's host is certainly this machine: 127.0.0.0/8, ::1 or localhost."""
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
