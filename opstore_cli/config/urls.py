"""URLs of daemons."""

from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

from opstore_daemon.protocol import errors

PORTS = {"http": 80, "https": 443}


def check_url(text: str, setting: str) -> str:
    """The URL of a daemon in the form in which URLs are compared, if it is one; raises InvalidSetting.

    Scheme and host are in lower case, and neither the scheme's own port nor a slash at the end is there.
    """
    try:
        parts = urlsplit(text)
        reason = _url_fault(text, parts)
    except ValueError as error:
        reason = str(error)
    if reason is not None:
        # A password that stands in it is shown by nobody.
        raise errors.InvalidSetting(setting=setting, reason=reason)
    host = parts.hostname or ""
    port = "" if parts.port in (None, PORTS[parts.scheme]) else f":{parts.port}"
    return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}{port}{parts.path.rstrip('/')}"


def _url_fault(text: str, parts: SplitResult) -> str | None:
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return "a URL begins with http:// or https:// and names a host"
    if not text.isprintable() or not text.isascii() or " " in text or "\\" in text or parts.port == 0:
        return "it is no URL"
    if "@" in parts.netloc:
        return "it holds a user or a password: give a token in OPSTORE_TOKEN or OPSTORE_TOKEN_FILE"
    if "?" in text or "#" in text:
        return "it has a query or a fragment"
    return None


def is_loopback(url: str) -> bool:
    """Whether the URL's host is this machine for certain: 127.0.0.0/8, ::1 or localhost."""
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
