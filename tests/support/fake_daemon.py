"""A fake daemon that keeps bytes in memory and fails on demand."""

import json
import re
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

import msgspec

from opstore_daemon.protocol import proof, records, routes
from opstore_daemon.protocol.checksums import checksum_of, new_sum
from opstore_daemon.protocol.digests import digest_of
from opstore_daemon.protocol.samples import Sample, sample_of
from opstore_daemon.web.framework.request_body import read_form
from tests.support.http_thread import Handler, HttpThread

MISMATCHES = {"size": "SizeMismatch", "digest": "DigestMismatch", "checksum": "ChecksumMismatch"}
TOKEN = "right-token-of-the-daemon"


def sample_of_bytes(data: bytes) -> Sample:
    """Return the sample of these bytes."""

    def read(buffer: memoryview, offset: int) -> int:
        piece = data[offset : offset + len(buffer)]
        buffer[: len(piece)] = piece
        return len(piece)

    return sample_of(len(data), read)


class FakeDaemon(HttpThread):
    """A fake daemon that serves on a free port while the context lasts.

    `faults` are the faults of the next requests, by method and kind of path: (`"PATCH uploads"`, n) closes the
    connection after n bytes of the request body, (`"GET bytes"`, n) after n bytes of the response.
    """

    def __init__(self, token: str = TOKEN) -> None:
        self.token = token
        self.uploads: dict[str, bytearray] = {}
        self.sizes: dict[str, int | None] = {}
        self.versions: list[bytes] = []
        self.format: str | None = None  # of every version
        self.served: bytes | None = None  # sent instead of the bytes of the version
        self.damages = False  # damage the first byte of each append
        self.ranges = True
        self.claims: dict[str, Any] = {}  # keys that override those of every record
        self.direct: Callable[[], str] | None = None  # returns a URL of the bytes, for clients that accept one
        self.place: dict[str, Any] = {}  # keys that override those of the record with that URL
        self.part_size: int | None = None  # offered to every upload, whose parts are at the URLs of `part_url`
        self.part_url: Callable[[int], str] = lambda _number: ""  # returns a URL of the part, counted from 1
        self.arrived: Callable[[int, str], bytes | None] = lambda _number, _etag: None  # returns the bytes of a part
        self.refusals: dict[str, tuple[int, str]] = {}  # of requests for "urls" and reports of "parts"
        self.verified: list[
            int
        ] = []  # bytes that it has read of an upload, for the next requests that make its version
        self.reported: list[tuple[int, int]] = []  # offset and number of the parts of each report
        self.tells = True  # send the record of a version with its bytes
        self.served_number: str | None = None  # a version number that is sent in a separate header
        self.storage_fails = False  # as one that is noticed while the bytes of a range are sent
        self.faults: list[tuple[str, int]] = []
        self.answers: list[tuple[int, str, bytes]] = []  # status, content type and body of the next JSON answers
        self.declared: list[set[str]] = []  # which of size, digest and checksum came with each upload's version
        self.asked: list[str] = []  # samples and digests of lookups, which are not in the log
        self.log: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.health: list[dict[str, str]] = []  # headers of the requests for a proof, which are not in the log
        super().__init__(_Handler)

    def fault(self, request: str) -> int | None:
        """Return the byte at which this request fails, or None."""
        if self.faults and self.faults[0][0] == request:
            return self.faults.pop(0)[1]
        return None

    def record(self, number: int, op: str = "pca") -> dict[str, Any]:
        """Return the record of version `number`, counted from 1."""
        data = self.versions[number - 1]
        return {
            "op": op,
            "version": f"{number}.0.0",
            "subversions": "aaaa.bbbb.cccc",
            "sequence": number,
            "digest": digest_of(data),
            "size": len(data),
            "registered_at": "2026-01-01T00:00:00Z",
            "labels": {},
            "format": self.format,
            "position": number,
            "created": True,
            **self.claims,
        }


class _Handler(Handler, BaseHTTPRequestHandler):
    @property
    def daemon(self) -> FakeDaemon:
        return cast(FakeDaemon, self.owner)

    def answer(self, status: int, body: bytes = b"", kind: str = routes.JSON, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def json(self, status: int, value: Any) -> None:
        self.answer(status, records.encode(value))

    def problem(self, status: int, code: str, text: str = "", **details: Any) -> None:
        body = {"title": code, "status": status, "detail": text or code, "code": code, "details": details}
        self.answer(status, records.encode(body), routes.PROBLEM)

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", "0")))

    def parts(self) -> tuple[dict[str, Any], bytes | None]:
        """Return the JSON of the body, and the bytes of its second part, or None."""
        body, kind = self.body(), self.headers.get("Content-Type", "")
        record, data = read_form(kind, body) if kind.startswith(routes.FORM) else (body, None)
        asked: dict[str, Any] = msgspec.json.decode(record or b"{}")
        return asked, data

    def upload(self) -> str:
        return urlsplit(self.path).path.rsplit("/", 1)[-1]

    def op(self) -> str:
        """Return the op of the new version."""
        return urlsplit(self.path).path.split("/")[-2]

    def state(self, upload: str) -> dict[str, Any]:
        offset, size = len(self.daemon.uploads[upload]), self.daemon.sizes[upload]
        return {"upload": upload, "offset": offset, "size": size, "part_size": self.daemon.part_size}

    def seen(self, *, read: bool = True) -> bool:
        """Record the request; return whether it was already answered. `read`: the body is not read yet."""
        path = urlsplit(self.path).path
        if path.endswith(routes.HEALTH):
            self.daemon.health.append(dict(self.headers.items()))
            return False
        self.daemon.log.append(f"{self.command} {path}")
        self.daemon.headers.append(dict(self.headers.items()))
        if self.daemon.answers:
            if read:
                self.body()
            status, kind, body = self.daemon.answers.pop(0)
            self.answer(status, body, kind)
            return True
        return False

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        if path == routes.BLOBS:
            asked = parse_qs(query)
            self.answer_which(asked["sample"][0], intact=asked.get("intact") == ["1"])
            return
        if self.seen():
            return
        if path.endswith(routes.HEALTH):
            nonce = self.headers.get(routes.NONCE, "")
            at = proof.authority("127.0.0.1", self.daemon.port)
            self.answer(200, b"ok", Opstore_Proof=proof.prove(proof.key_of(self.daemon.token), nonce, at))
        elif path.endswith("/bytes"):
            major = path.split("/")[-2].split(".")[0]
            self.send_bytes(int(major) if major.isdecimal() else len(self.daemon.versions))
        elif path.startswith(routes.UPLOADS):
            known = self.upload() in self.daemon.uploads
            self.json(200, self.state(self.upload())) if known else self.problem(404, "UploadNotFound")
        else:
            self.json(200, self.daemon.record(len(self.daemon.versions)))

    def answer_which(self, sample: str, *, intact: bool) -> None:
        self.daemon.asked.append(f"intact {sample}" if intact else sample)
        if intact and self.daemon.fault("GET blobs") is not None:
            self.close_connection = True
            return
        found = [data for data in self.daemon.versions if sample == sample_of_bytes(data)]
        self.json(200, {"blobs": [{"digest": digest_of(data), "size": len(data)} for data in found]})

    def send_bytes(self, number: int) -> None:
        data = self.daemon.versions[number - 1]
        if self.daemon.direct is not None and routes.DIRECT_TYPE in self.headers.get("Accept", ""):
            where = {"url": self.daemon.direct(), "digest": digest_of(data), "size": len(data)}
            place = records.encode({**where, "expires_at": "2026-01-01T00:00:00Z", **self.daemon.place})
            about = {routes.SERVED_RECORD: json.dumps(self.daemon.record(number))} if self.daemon.tells else {}
            self.answer(200, place, routes.DIRECT_TYPE, **about)
            return
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if self.daemon.storage_fails and asked is None:
            self.problem(503, "ObjectStoreFailed", "it is down", place="s3://models/store")
            return
        first = int(asked[1]) if asked and self.daemon.ranges else 0
        end = int(asked[2]) + 1 if asked and asked[2] and self.daemon.ranges else None
        whole = self.daemon.served if self.daemon.served is not None else data
        sent = whole[first:end]
        part = asked is not None and self.daemon.ranges and bool(data)
        self.send_response(206 if part else 200)
        self.send_header("ETag", f'"{digest_of(data)}"')
        if self.daemon.tells:
            self.send_header(routes.SERVED_RECORD, json.dumps(self.daemon.record(number)))
        if self.daemon.served_number is not None:
            self.send_header(routes.SERVED_VERSION, self.daemon.served_number)
        self.send_header("Content-Length", str(len(sent)))
        if part:
            self.send_header("Content-Range", f"bytes {first}-{first + len(sent) - 1}/{len(whole)}")
        self.end_headers()
        broken = 0 if self.daemon.storage_fails else self.daemon.fault("GET bytes")
        self.wfile.write(sent[:broken])
        self.close_connection = broken is not None

    def do_POST(self) -> None:
        asked, along = self.parts()
        if along is None and asked.get("digest") and not asked.get("upload"):
            self.answer_whether_there(asked["digest"])
            return
        if self.seen(read=False):
            return
        if "/parts" in self.path:
            self.answer_parts(asked)
            return
        if urlsplit(self.path).path == routes.UPLOADS:
            upload = f"u{len(self.daemon.sizes) + 1}"
            self.daemon.uploads[upload], self.daemon.sizes[upload] = bytearray(), asked["size"]
            self.json(201, self.state(upload))
            return
        self.answer_version(asked, along)

    def answer_version(self, asked: dict[str, Any], along: bytes | None) -> None:
        """Make a version of an upload, or of the bytes that came along."""
        if along is None and self.daemon.verified:
            of = {"upload": asked["upload"], "size": asked["size"]}
            read = self.daemon.verified.pop(0)
            text = f"it has read {read} of {asked['size']}"
            self.problem(503, "NotVerified", text, verified=read, **of)
            return
        data = bytes(self.daemon.uploads.pop(asked["upload"])) if along is None else along
        if along is None:
            self.daemon.declared.append({what for what in MISMATCHES if asked.get(what) is not None})
        actual = {"digest": digest_of(data), "checksum": checksum_of(new_sum(data)), "size": len(data)}
        for what, error in MISMATCHES.items():
            if asked.get(what) not in (None, actual[what]):
                self.problem(422, error)
                return
        self.daemon.versions.append(data)
        declared = {"format": asked["format"]} if asked.get("format") and "format" not in self.daemon.claims else {}
        self.json(201, self.daemon.record(len(self.daemon.versions), self.op()) | declared)

    def answer_parts(self, asked: dict[str, Any]) -> None:
        """Name URLs for parts, or take those that the object store has."""
        upload, daemon = urlsplit(self.path).path.split("/")[3], self.daemon
        if upload not in daemon.uploads:
            self.problem(404, "UploadNotFound")
            return
        data = daemon.uploads[upload]
        refusal = daemon.refusals.get(self.path.rpartition("/")[2])
        if refusal is not None:
            self.problem(*refusal, reason="no")
            return
        if asked["offset"] != len(data):
            self.problem(409, "OffsetMismatch", upload=upload, offset=len(data), given=asked["offset"])
            return
        first = len(data) // (daemon.part_size or 1) + 1
        if self.path.endswith("/urls"):
            urls = [daemon.part_url(first + number) for number in range(len(asked["parts"]))]
            self.json(200, {"urls": urls, "expires_at": "2026-01-01T00:00:00Z", **daemon.place})
            return
        daemon.reported.append((len(data), len(asked["parts"])))
        for number, part in enumerate(asked["parts"], first):
            found = daemon.arrived(number, part["etag"])
            if found is None or (len(found), digest_of(found)) != (part["size"], part["digest"]):
                self.problem(409, "PartNotStored", upload=upload, number=number)
                return
            data.extend(found)
        self.json(200, self.state(upload))

    def answer_whether_there(self, digest: str) -> None:
        self.daemon.asked.append(digest)
        known: list[str] = [digest_of(data) for data in self.daemon.versions]
        if digest in known:
            self.json(200, self.daemon.record(known.index(digest) + 1, self.op()) | {"created": False})
        else:
            self.problem(404, "BlobNotFound", digest=digest)

    def do_PATCH(self) -> None:
        if self.seen():
            return
        upload, offset = self.upload(), int(self.headers[routes.UPLOAD_OFFSET])
        if offset != len(self.daemon.uploads[upload]):
            self.problem(409, "OffsetMismatch")
            return
        broken = self.daemon.fault("PATCH uploads")
        data = self.body()[:broken]
        if self.daemon.damages:
            data = bytes([data[0] ^ 1]) + data[1:]
        # After the body, because a client that disconnects during it may have deleted the upload.
        self.daemon.uploads.get(upload, bytearray()).extend(data)
        if broken is not None:
            self.close_connection = True
            return
        if upload in self.daemon.uploads:
            self.json(200, self.state(upload))

    def do_PUT(self) -> None:
        self.seen()

    def do_DELETE(self) -> None:
        if not self.seen():
            self.daemon.uploads.pop(self.upload(), None)
            self.answer(204)
