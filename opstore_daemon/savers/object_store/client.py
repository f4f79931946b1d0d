"""The requests to one bucket: each is one method here, has timeouts, is repeated a few times, and raises our errors."""

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cache, cached_property
from typing import IO, TYPE_CHECKING, Any, NamedTuple, cast
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.loaders import Loader
from botocore.session import Session

from opstore_daemon.protocol import errors
from opstore_daemon.protocol._version import __version__
from opstore_daemon.protocol.digests import digest_of
from opstore_daemon.savers.object_records import Part
from opstore_daemon.savers.object_store import failures
from opstore_daemon.savers.object_store.body import SentBody
from opstore_daemon.savers.object_store.place import Place

if TYPE_CHECKING:
    from botocore.response import StreamingBody
    from mypy_boto3_s3 import S3Client

ATTEMPTS = 5  # of a request; with one of ten refused, one of 100,000 fails
CONNECT, READ = 5, 30  # seconds
COMPLETE = 300  # seconds that the object store may take to put the parts together
CONNECTIONS = 64  # that are kept: the server's threads and those that send parts
COPIED = 64 * 1024  # bytes at most that are copied for a request
DEFAULT_REGION = "us-east-1"  # of stores that have no regions, which still sign with one
MISSING = {"NoSuchKey", "404", "NotFound"}
OTHER_BYTES = {"BadDigest", "XAmzContentChecksumMismatch"}  # of a Complete: the parts have other checksums
UNSUPPORTED = {"NotImplemented", "501", "InvalidArgument", "InvalidRequest"}


class Missing(Exception):
    """The object does not exist."""


class Ended(Exception):
    """The object has no byte at that position."""


class Taken(Exception):
    """The condition of a request does not hold: there is an object already, or another one."""


class UploadGone(Exception):
    """The multipart upload does not exist, or one of its parts is not the one that was sent."""


class Head(NamedTuple):
    """What the object store says of an object; `size` in bytes."""

    size: int
    etag: str
    checksum: str | None


class Listed(NamedTuple):
    """An object in a listing: its name without the prefix, and its size in bytes."""

    name: str
    size: int


class Sent(NamedTuple):
    """A part that the object store has: its size in bytes, and its SHA-256 in base64 if the object store reports it."""

    number: int
    size: int
    etag: str
    checksum: str | None = None


class Unfinished(NamedTuple):
    """A multipart upload that nobody has completed: its name without the prefix, its id, and when it began."""

    name: str
    multipart: str
    began_at: float


def sha256(data: bytes | bytearray) -> str:
    """Return the SHA-256 of the data as the object store takes it."""
    return digest_of(data).base64


class Bucket:
    """A place in a bucket. Names of objects are without its prefix. Failures raise StorageFull or ObjectStoreFailed."""

    def __init__(self, place: Place, endpoint: str | None = None, region: str | None = None) -> None:
        """`endpoint` and `region`: those of the environment and of AWS's files if None. Sends no request."""
        self.place = place
        self._endpoint, self._region = endpoint, region
        try:
            self.s3 = self._client(READ)
        except (BotoCoreError, ValueError) as error:
            raise self._to_error(error, "the start") from None
        self.endpoint = _without_secrets(self.s3.meta.endpoint_url)

    def _client(self, read_timeout: float, **more: Any) -> "S3Client":
        session = boto3.session.Session(botocore_session=_session())
        region = self._region or os.environ.get("AWS_REGION") or session.region_name
        options: dict[str, Any] = {
            "connect_timeout": CONNECT,
            "read_timeout": read_timeout,
            "retries": {"mode": "standard", "total_max_attempts": ATTEMPTS},
            "max_pool_connections": CONNECTIONS,
            "tcp_keepalive": True,
            "user_agent_extra": f"opstore/{__version__}",
            # We send SHA-256 where it is needed; stores other than AWS refuse some of the others.
            "request_checksum_calculation": "when_required",
            "response_checksum_validation": "when_required",
            **more,
        }

        def make(style: str) -> "S3Client":
            config = Config(**options, s3={"addressing_style": style})  # type: ignore[arg-type]
            return session.client("s3", region or DEFAULT_REGION, endpoint_url=self._endpoint, config=config)

        # Elsewhere than at AWS, the name of a bucket is seldom a name in the DNS.
        endpoint = self._endpoint or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        made = make("auto" if endpoint is None or _is_aws(endpoint) else "path")
        return made if endpoint is not None or _is_aws(made.meta.endpoint_url) else make("path")

    @cached_property
    def patient(self) -> "S3Client":
        """The client for requests that the object store may work on for long."""
        return self._client(COMPLETE)

    @cached_property
    def _signer(self) -> "S3Client":
        # Of version 2, which is the default for URLs in some regions, Range is not free, and ports are left out.
        return self._client(READ, signature_version="s3v4")

    def presigned(self, operation: str, name: str, seconds: int, **parameters: Any) -> str:
        """Return a URL that allows whoever has it one operation on one object for that long. Sends no request.

        The `parameters` of the operation are signed, too: in the URL, or as headers that the request must have.
        """
        with self._translated("a signature"):
            params = {**self._at(name), **parameters}
            found: str = self._signer.generate_presigned_url(operation, Params=params, ExpiresIn=seconds)
            return found

    # --- objects ------------------------------------------------------------------------------------------------------

    def put(
        self,
        name: str,
        data: bytes | bytearray,
        *,
        only_new: bool = False,
        replaces: str | None = None,
        checksum: str | None = None,
    ) -> str:
        """Store an object whose checksum the object store verifies; return its etag.

        Raises Taken if it exists (`only_new`), or is not the one with the etag `replaces`.
        """
        condition: dict[str, Any] = {"IfNoneMatch": "*"} if only_new else {}
        if replaces is not None:
            condition = {"IfMatch": replaces}
        with self._translated("PutObject"):
            found = self.s3.put_object(
                **self._at(name),
                # boto3 asks before it sends a file (Expect: 100-continue): a round trip more, and a copy costs less.
                Body=bytes(data) if len(data) <= COPIED else cast(IO[bytes], SentBody(data)),
                ChecksumSHA256=checksum or sha256(data),
                **condition,
            )
            return str(found["ETag"])

    def get(self, name: str, start: int = 0, stop: int | None = None, etag: str | None = None) -> "Body":
        """Open the object from the byte `start` on; raise Missing, Ended, and Taken if it has another etag."""
        ranged = {} if start == 0 and stop is None else {"Range": f"bytes={start}-{'' if stop is None else stop - 1}"}
        condition = {} if etag is None else {"IfMatch": etag}
        with self._translated("GetObject"):
            found = self.s3.get_object(**self._at(name), **ranged, **condition)  # type: ignore[arg-type]
        return Body(found["Body"], str(found["ETag"]))

    def head(self, name: str) -> Head | None:
        """Return what is known of the object; None if it does not exist."""
        try:
            with self._translated("HeadObject"):
                found = self.s3.head_object(**self._at(name), ChecksumMode="ENABLED")
        except Missing:
            return None
        return Head(found["ContentLength"], str(found["ETag"]), found.get("ChecksumSHA256"))

    def delete(self, name: str) -> None:
        """Delete the object; does nothing if there is none."""
        with self._translated("DeleteObject"):
            self.s3.delete_object(**self._at(name))

    def listing(self, start: str, limit: int = 1000) -> Iterator[Listed]:
        """Yield the objects whose names start with `start`, by name, `limit` with each request."""
        token: dict[str, Any] = {}
        while True:
            with self._translated("ListObjectsV2"):
                found = self.s3.list_objects_v2(
                    Bucket=self.place.bucket, Prefix=self.place.prefix + start, MaxKeys=limit, **token
                )
            for each in found.get("Contents", []):
                yield Listed(self._name(each["Key"]), each["Size"])
            if not found.get("IsTruncated"):
                return
            token = {"ContinuationToken": found["NextContinuationToken"]}

    # --- multipart uploads --------------------------------------------------------------------------------------------

    def create_multipart(self, name: str) -> str:
        """Begin a multipart upload of the object; return its id."""
        with self._translated("CreateMultipartUpload"):
            found = self.s3.create_multipart_upload(**self._at(name), ChecksumAlgorithm="SHA256")
            return found["UploadId"]

    def upload_part(
        self, name: str, multipart: str, number: int, data: bytes | bytearray, *, checksum: str | None = None
    ) -> Part:
        """Store a part whose checksum the object store verifies. Raises UploadGone."""
        checksum = checksum or sha256(data)
        with self._translated("UploadPart"):
            found = self.s3.upload_part(
                **self._at(name),
                UploadId=multipart,
                PartNumber=number,
                Body=cast(IO[bytes], SentBody(data)),
                ChecksumSHA256=checksum,
            )
        return Part(number, len(data), str(found["ETag"]), checksum)

    def part_url(self, name: str, multipart: str, number: int, size: int, checksum: str, seconds: int) -> str:
        """Return a URL for one part of so many bytes with that checksum, for that long. Sends no request."""
        parameters = {"UploadId": multipart, "PartNumber": number, "ContentLength": size, "ChecksumSHA256": checksum}
        return self.presigned("upload_part", name, seconds, **parameters)

    def complete(self, name: str, multipart: str, parts: Sequence[Part]) -> None:
        """Make the object of the parts. Raises UploadGone, and Taken if the object exists."""
        listed = [{"PartNumber": part.number, "ETag": part.etag, "ChecksumSHA256": part.checksum} for part in parts]
        request: dict[str, Any] = {**self._at(name), "UploadId": multipart, "MultipartUpload": {"Parts": listed}}
        with self._translated("CompleteMultipartUpload"):
            try:
                self.patient.complete_multipart_upload(**request, IfNoneMatch="*")
            except ClientError as error:
                if failures.code_of(error) in OTHER_BYTES:
                    raise UploadGone("CompleteMultipartUpload") from None
                if failures.code_of(error) not in UNSUPPORTED:
                    raise
                self.patient.complete_multipart_upload(**request)

    def abort(self, name: str, multipart: str) -> None:
        """Delete the multipart upload and its parts; does nothing if there is none."""
        try:
            with self._translated("AbortMultipartUpload"):
                self.s3.abort_multipart_upload(**self._at(name), UploadId=multipart)
        except (UploadGone, Missing):
            pass

    def parts(self, name: str, multipart: str, after: int = 0) -> Iterator[Sent]:
        """Yield the parts behind the number `after` that the object store has, some of them twice. Raises UploadGone.

        A number that was sent several times may be there with each of its etags, or with the last one.
        """
        marker = after
        while True:
            with self._translated("ListParts"):
                found = self.s3.list_parts(**self._at(name), UploadId=multipart, PartNumberMarker=marker)
            for each in found.get("Parts", []):
                yield Sent(each["PartNumber"], each["Size"], str(each["ETag"]), each.get("ChecksumSHA256"))
            if not found.get("IsTruncated"):
                return
            marker = found["NextPartNumberMarker"]

    def unfinished(self, start: str) -> Iterator[Unfinished]:
        """Yield the multipart uploads of objects whose names start with `start`."""
        marker: dict[str, Any] = {}
        while True:
            with self._translated("ListMultipartUploads"):
                found = self.s3.list_multipart_uploads(
                    Bucket=self.place.bucket, Prefix=self.place.prefix + start, **marker
                )
            for each in found.get("Uploads", []):
                yield Unfinished(self._name(each["Key"]), each["UploadId"], each["Initiated"].timestamp())
            if not found.get("IsTruncated"):
                return
            marker = {"KeyMarker": found["NextKeyMarker"], "UploadIdMarker": found["NextUploadIdMarker"]}

    # --- errors -------------------------------------------------------------------------------------------------------

    @contextmanager
    def _translated(self, operation: str) -> Iterator[None]:
        try:
            yield
        except failures.FAILURES as error:
            raise self._to_error(error, operation) from None  # its own text may have a signature

    def _to_error(self, error: Exception, operation: str) -> Exception:
        code = failures.code_of(error)
        if code in MISSING:
            return Missing(operation)
        if code in ("InvalidRange", "416"):
            return Ended(operation)
        if code in ("PreconditionFailed", "412", "ConditionalRequestConflict"):
            return Taken(operation)
        if code in ("NoSuchUpload", "InvalidPart", "InvalidPartOrder", "EntityTooSmall"):
            return UploadGone(operation)
        return self.error(error, operation)

    def reading(self) -> AbstractContextManager[None]:
        """Raise what reading a body raises as errors of ours."""
        return self._translated("GetObject")

    def error(self, error: Exception, operation: str) -> errors.OpStoreError:
        """Return the error of ours for a failure of this request."""
        endpoint = getattr(self, "endpoint", "its endpoint")
        return failures.to_opstore_error(error, str(self.place), self.place.bucket, endpoint, operation)

    def _at(self, name: str) -> Any:
        return {"Bucket": self.place.bucket, "Key": self.place.prefix + name}

    def _name(self, key: str) -> str:
        return key.removeprefix(self.place.prefix)


class Body(NamedTuple):
    """The bytes of an object, as they arrive, and its etag."""

    stream: "StreamingBody"
    etag: str


@cache
def _loader() -> Loader:
    return Loader()


def _session() -> Session:
    """Return a new session, with the settings of now; it shares the description of the requests, which is large."""
    logging.getLogger("botocore").setLevel(logging.WARNING)  # below, it logs each start, and at DEBUG signatures
    session = Session()
    session.register_component("data_loader", _loader())
    return session


def _is_aws(endpoint: str) -> bool:
    host = urlsplit(endpoint).hostname or ""
    return host.endswith((".amazonaws.com", ".amazonaws.com.cn"))


def _without_secrets(endpoint: str) -> str:
    parts = urlsplit(endpoint)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
