"""Translate the failures of boto3 into errors of ours, by one table: what was observed, and what to do about it.

No error has a secret: what boto3 reports of a request (its URL, its headers) is left out.
"""

from typing import Any, NamedTuple

from botocore import exceptions
from botocore.exceptions import BotoCoreError, ClientError
from urllib3.exceptions import HTTPError

from opstore_daemon.protocol import errors

_CREDENTIALS = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE; a daemon reads them when it starts"
_REACH = "check that the object store runs; its address is AWS_ENDPOINT_URL_S3, if it is not AWS"
_LATER = "the request can be repeated; if it fails again, look at the log of the object store"
MAX_TEXT = 300  # characters of what the object store reports


class Cause(NamedTuple):
    """What is wrong, and what to do about it; `{bucket}` and other fields are filled in."""

    reason: str
    advice: str


_REFUSED_CREDENTIALS = Cause("it does not accept the credentials", _CREDENTIALS)
_REGION = Cause(
    "the bucket {bucket} is in another region{region}", "set AWS_REGION to the region of the bucket, and restart"
)
_DENIED = Cause(
    "the credentials do not allow {operation}",
    "allow it in the policy of the bucket or of the user (opstore doctor lists what is needed)",
)
_OVERLOADED = Cause("it is overloaded or down: it refused {operation} {attempts} times", _LATER)

CAUSES: dict[str, Cause] = {
    "NoSuchBucket": Cause("there is no bucket {bucket}", "create it, or give another bucket"),
    "InvalidBucketName": Cause("{bucket} can't be the name of a bucket", "give another bucket"),
    "InvalidAccessKeyId": _REFUSED_CREDENTIALS,
    "SignatureDoesNotMatch": _REFUSED_CREDENTIALS,
    "InvalidToken": _REFUSED_CREDENTIALS,
    "InvalidClientTokenId": _REFUSED_CREDENTIALS,
    "ExpiredToken": Cause("the credentials have expired", _CREDENTIALS),
    "TokenRefreshRequired": Cause("the credentials have expired", _CREDENTIALS),
    "RequestTimeTooSkewed": Cause(
        "the clock of this machine differs from that of the object store by more than it accepts",
        "set the clock of the machine that is wrong, and have it synchronized",
    ),
    "AccessDenied": _DENIED,
    "AllAccessDisabled": _DENIED,
    "Forbidden": _DENIED,
    "403": _DENIED,
    "PermanentRedirect": _REGION,
    "AuthorizationHeaderMalformed": _REGION,
    "IllegalLocationConstraintException": _REGION,
    "301": _REGION,
    "BadDigest": Cause("the bytes changed on the way to it", _LATER),
    "XAmzContentChecksumMismatch": Cause("the bytes changed on the way to it", _LATER),
    "XAmzContentSHA256Mismatch": Cause("the bytes changed on the way to it", _LATER),
    "SlowDown": _OVERLOADED,
    "ServiceUnavailable": _OVERLOADED,
    "InternalError": _OVERLOADED,
    "RequestTimeout": _OVERLOADED,
    "500": _OVERLOADED,
    "502": _OVERLOADED,
    "503": _OVERLOADED,
    "504": _OVERLOADED,
}

FULL = {"XMinioStorageFull", "InsufficientStorage", "QuotaExceeded", "507", "XMinioAdminBucketQuotaExceeded"}
"""The codes for storage without space."""

_OFFLINE: list[tuple[type[Exception], Cause]] = [
    (exceptions.NoCredentialsError, Cause("there are no credentials for it", _CREDENTIALS)),
    (exceptions.PartialCredentialsError, Cause("a part of the credentials for it is missing", _CREDENTIALS)),
    (exceptions.CredentialRetrievalError, Cause("the credentials for it could not be had", _CREDENTIALS)),
    (exceptions.TokenRetrievalError, Cause("the credentials for it could not be had", _CREDENTIALS)),
    (exceptions.ProfileNotFound, Cause("AWS's files have no such profile", "correct AWS_PROFILE")),
    (exceptions.NoRegionError, Cause("its region is not known", "set AWS_REGION")),
    (exceptions.SSLError, Cause("TLS with {endpoint} failed", "set AWS_CA_BUNDLE if its certificate is your own")),
    (exceptions.ProxyConnectionError, Cause("the proxy to it can't be reached", "check HTTPS_PROXY and NO_PROXY")),
    (exceptions.ConnectTimeoutError, Cause("it can't be reached at {endpoint}: it does not answer", _REACH)),
    (exceptions.EndpointConnectionError, Cause("it can't be reached at {endpoint}", _REACH)),
    (exceptions.ReadTimeoutError, Cause("it did not answer {operation} in time", _LATER)),
    (exceptions.ConnectionError, Cause("the connection to {endpoint} broke", _LATER)),
    (exceptions.HTTPClientError, Cause("the connection to {endpoint} broke", _LATER)),
    (HTTPError, Cause("the connection to {endpoint} broke", _LATER)),
    (OSError, Cause("the connection to {endpoint} broke", _LATER)),
]

FAILURES = (BotoCoreError, ClientError, HTTPError, OSError)
"""What a request may raise."""


def code_of(error: BaseException) -> str:
    """Return the code of the object store's answer; empty if there was none."""
    return str(error.response.get("Error", {}).get("Code", "")) if isinstance(error, ClientError) else ""


def to_opstore_error(error: Exception, place: str, bucket: str, endpoint: str, operation: str) -> errors.OpStoreError:
    """Return the error of ours; `operation` is the name of the request, such as PutObject."""
    response: dict[str, Any] = dict(error.response) if isinstance(error, ClientError) else {}
    metadata = response.get("ResponseMetadata", {})
    code = code_of(error)
    if code in FULL:
        return errors.StorageFull(reason=f"{place}: {code}")
    cause = CAUSES.get(code) or CAUSES.get(str(metadata.get("HTTPStatusCode"))) if response else _offline(error)
    region = metadata.get("HTTPHeaders", {}).get("x-amz-bucket-region") or response.get("Error", {}).get("Region")
    fields = {
        "bucket": bucket,
        "endpoint": endpoint,
        "operation": operation,
        "attempts": metadata.get("RetryAttempts", 0) + 1,
        "region": f", {region}" if region else "",
    }
    if cause is None:
        cause = Cause("{operation} failed", _LATER)
    reason = cause.reason.format(**fields)
    return errors.ObjectStoreFailed(place=place, reason=reason + _observed(error, response), advice=cause.advice)


def _offline(error: Exception) -> Cause | None:
    return next((cause for kind, cause in _OFFLINE if isinstance(error, kind)), None)


def _observed(error: Exception, response: dict[str, Any]) -> str:
    """Return what the object store answered, in parentheses, or the kind of the failure."""
    if not response:
        return f" ({type(error).__name__})"
    found = response.get("Error", {})
    text = _printable(found.get("Message"))
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    words = [f"HTTP {status}" if status else "", _printable(found.get("Code")), text]
    return f" ({': '.join(word for word in words if word)})"


def _printable(found: object) -> str:
    """Return text of the object store in one line; it may be anything."""
    text = " ".join(str(found or "").split())[:MAX_TEXT]
    return "".join(character if character.isprintable() else "?" for character in text)
