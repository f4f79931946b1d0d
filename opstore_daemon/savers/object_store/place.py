"""Where the objects of a store are: a bucket and a prefix, as s3://BUCKET/PREFIX."""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from opstore_daemon.protocol import errors

SCHEME = "s3"
_BUCKET = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._-]{1,253}[a-zA-Z0-9]")
_PREFIX = re.compile(r"[A-Za-z0-9!_.*'()-]+(/[A-Za-z0-9!_.*'()-]+)*")
MAX_PREFIX = 900  # bytes; a key has at most 1024


@dataclass(frozen=True, slots=True)
class Place:
    """A bucket, and the prefix of all keys: empty, or with a slash at its end."""

    bucket: str
    prefix: str

    @classmethod
    def parse(cls, url: str) -> "Place":
        """Return the place at the URL; raise InvalidSetting."""
        parts = urlsplit(url)
        path = parts.path.strip("/")
        if parts.scheme != SCHEME or not parts.netloc:
            raise _invalid(f"{url!r} is not s3://BUCKET/PREFIX")
        if "@" in parts.netloc:
            # Not the URL itself: it has a secret.
            raise _invalid("an s3:// URL has no user and no password: they are AWS_ACCESS_KEY_ID and others")
        if parts.query or parts.fragment or "?" in url:
            raise _invalid(f"{url!r} has options: the endpoint is AWS_ENDPOINT_URL_S3, the region AWS_REGION")
        if not _BUCKET.fullmatch(parts.netloc):
            raise _invalid(f"{parts.netloc!r} is not the name of a bucket")
        if path and (not _PREFIX.fullmatch(path) or any(set(part) <= {"."} for part in path.split("/"))):
            raise _invalid(f"the prefix {path!r} has other characters than letters, digits and !_.*'()-/")
        if len(path) > MAX_PREFIX:
            raise _invalid(f"the prefix has {len(path)} characters, and at most {MAX_PREFIX} are allowed")
        return cls(parts.netloc, f"{path}/" if path else "")

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")


def _invalid(reason: str) -> errors.InvalidSetting:
    return errors.InvalidSetting(setting="--saver", reason=reason)
