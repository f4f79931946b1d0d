"""The decoder of records: accepted and refused bodies."""

import json
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from opstore_daemon.protocol import errors, records
from opstore_daemon.protocol.digests import Digest, digest_of
from opstore_daemon.protocol.records import (
    MAX_DEPTH,
    ChangeOp,
    ChangeVersion,
    LinkRecord,
    NewLink,
    NewPipeline,
    NewUpload,
    NewVersion,
    Problem,
    Record,
    Request,
    VersionRecord,
    decode,
    encode,
    wire,
)
from opstore_daemon.protocol.references import Reference, TagName
from opstore_daemon.protocol.versions import Version
from tests.support import promised
from tests.support.examples import examples
from tests.support.figures import few

REQUESTS: list[Any] = Request.__subclasses__()
DIGEST = digest_of(b"bytes")
VERSION = VersionRecord(
    op="pca",
    version="1.0.0",
    subversions="aaaa.bbbb.cccc",
    sequence=1,
    digest=None,
    size=None,
    registered_at=datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC),
    labels={"größe": "\U0001f600"},
    position=1,
)


def refusal_reason(body: bytes, kind: Any = NewVersion) -> str:
    """Check that the body is refused; return the reason."""
    with pytest.raises(errors.InvalidRequest) as caught:
        decode(body, kind)
    reason: str = caught.value.details["reason"]
    assert caught.value.text == f"invalid request: {reason}"
    assert 0 < len(reason) <= 500
    return reason


def problem(details: bytes) -> bytes:
    return b'{"title": "", "status": 1, "detail": "", "code": "", "details": ' + details + b"}"


# --- accepted ----------------------------------------------------------------------------------------------


def test_a_record_is_decoded_as_it_was_encoded() -> None:
    assert decode(encode(VERSION), VersionRecord) == VERSION
    assert decode(bytearray(encode(VERSION)), VersionRecord) == VERSION
    assert decode(memoryview(encode(VERSION)), VersionRecord) == VERSION


def test_times_are_encoded_as_rfc_3339_in_utc() -> None:
    assert json.loads(encode(VERSION))["registered_at"] == "2024-01-02T03:04:05Z"


def test_a_version_has_the_keys_of_the_contract() -> None:
    assert set(json.loads(encode(VERSION))) >= promised.VERSION
    assert json.loads(encode(VERSION))["digest"] is None


def test_omitted_keys_of_a_request_have_defaults() -> None:
    assert decode(b"{}", NewVersion) == NewVersion()
    assert decode(b' {"upstream": "a@1.0.0", "downstream": "b"}\n', NewLink).state == "valid"


def test_defaults_are_not_shared_between_records() -> None:
    first, second = decode(b"{}", NewVersion), decode(b"{}", NewVersion)
    assert first.labels is not second.labels


def test_a_message_is_decoded_unchanged() -> None:
    text = "  \x1b[31m<b>{x}</b>\r\n\t\u202e\U0001f600 "
    assert decode(json.dumps({"message": text}).encode(), NewVersion).message == text


def test_a_client_ignores_keys_of_a_newer_daemon() -> None:
    newer = json.loads(encode(VERSION)) | {"of_a_newer_daemon": [1, {"a": None}]}
    assert decode(json.dumps(newer).encode(), VersionRecord) == VERSION


def test_a_link_of_an_older_daemon_has_no_run() -> None:
    ends = {"upstream": "pca", "upstream_version": "1.0.0", "downstream": "forest", "downstream_version": None}
    link = {**ends, "valid": True, "state": "valid", "evidence": None, "position": 3}
    decoded = decode(json.dumps({**link, "registered_at": "2026-01-02T03:04:05Z"}).encode(), LinkRecord)
    assert (decoded.run, decoded.until) == (None, None)


# --- refused --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", REQUESTS)
def test_a_request_with_an_unknown_key_is_refused(kind: type[Request]) -> None:
    assert "unknown field `of_nobody`" in refusal_reason(b'{"of_nobody": 1}', kind)


def test_every_struct_is_either_a_request_or_a_record() -> None:
    kinds = [v for v in vars(records).values() if isinstance(v, type) and issubclass(v, msgspec.Struct)]
    assert len(kinds) > 20
    assert all(issubclass(kind, Request) != issubclass(kind, Record) for kind in kinds if kind is not msgspec.Struct)


@pytest.mark.parametrize(
    ("body", "kind", "key"),
    [
        (b'{"size": 1, "size": 2}', NewUpload, "size"),
        (b'{"size": 1, "si\\u007ae": 1}', NewUpload, "size"),
        (b'{"labels": {"a": "1", "b": "2", "a": "1"}}', NewVersion, "a"),
        (b'{"fields": {"major": {}, "major": {"a": "b"}}}', NewVersion, "major"),
        (b'{"fields": {"major": {"a": "b", "a": "c"}}}', NewVersion, "a"),
        (problem(b'{"z": [{"x": {"y": 1, "y": 2}}]}'), Problem, "y"),
        (b'{"upstream": "a", "downstream": "b", "upstream": "c"}', NewLink, "upstream"),
    ],
)
def test_a_duplicate_key_is_refused(body: bytes, kind: Any, key: str) -> None:
    json.loads(body)  # it is well-formed
    assert refusal_reason(body, kind) == f"duplicate key {key!r}"


def test_the_same_key_may_occur_in_two_objects() -> None:
    body = b'{"fields": {"major": {"a": "b"}, "minor": {"a": "b"}}, "labels": {"a": "b"}}'
    assert decode(body, NewVersion).labels == {"a": "b"}


@pytest.mark.parametrize(
    "number", [b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-1e999", b"+1", b"01", b"0x1", b".5"]
)
def test_a_number_that_is_not_json_is_refused(number: bytes) -> None:
    refusal_reason(b'{"size": ' + number + b"}", NewUpload)
    refusal_reason(problem(b'{"a": ' + number + b"}"), Problem)
    refusal_reason(number, Any)


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'[{"a":'])
@pytest.mark.parametrize("kind", [NewVersion, Problem, Any])
def test_100_000_brackets_are_refused(opening: bytes, kind: Any) -> None:
    refusal_reason(opening * 100_000, kind)
    closing = {b"[": b"]", b'{"a":': b"}", b'[{"a":': b"}]"}[opening]
    refusal_reason(opening * 100_000 + b"1" + closing * 100_000, kind)


@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_the_nesting_depth_of_json_is_limited(opening: bytes, closing: bytes) -> None:
    decode(opening * MAX_DEPTH + b"1" + closing * MAX_DEPTH, Any)
    for depth in (MAX_DEPTH + 1, 100, 900, 5_000):
        assert refusal_reason(opening * depth + b"1" + closing * depth, Any) == "the JSON is nested too deep"


def test_a_number_of_many_digits_is_refused_in_our_words() -> None:
    body = b'{"code": "X", "title": "x", "status": 404, "detail": "d", "later": %s}'
    decode(body % (b"-" + b"9" * (wire.MAX_DIGITS - 1)), Problem)
    assert refusal_reason(body % (b"9" * 5000), Problem) == "a number has more than 4300 digits"


@pytest.mark.parametrize("text", [b"\xff", b"\xed\xa0\x80", b"\xc0\x80", b"\xf5\x80\x80\x80", b"\xe2\x82", b"\x80"])
def test_bytes_that_are_not_utf_8_are_refused(text: bytes) -> None:
    refusal_reason(b'{"message": "' + text + b'"}')
    refusal_reason(b'{"labels": {"' + text + b'": ""}}')
    refusal_reason(b'{"message": "' + text)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "utf-8-sig"])
def test_json_in_another_encoding_is_refused(encoding: str) -> None:
    refusal_reason("{}".encode(encoding))


@pytest.mark.parametrize("text", [b"\\ud800", b"\\udc00", b"\\ud800x", b"\\ud800\\ud800", b"\\udc00\\ud800"])
def test_a_lone_surrogate_is_refused(text: bytes) -> None:
    refusal_reason(b'{"message": "' + text + b'"}')
    refusal_reason(b'{"labels": {"' + text + b'": ""}}')
    refusal_reason(problem(b'{"a": "' + text + b'"}'), Problem)


@pytest.mark.parametrize(
    "body", [b"{} x", b"{}{}", b"{},", b"{}\x00", b"{}]", b"", b" ", b"{", b'{"size"', b"{'size': 1}"]
)
def test_a_body_other_than_one_json_document_is_refused(body: bytes) -> None:
    refusal_reason(body)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"null", NewVersion),
        (b"[]", NewVersion),
        (b'"{}"', NewVersion),
        (b"1", NewVersion),
        (b'{"size": "1"}', NewUpload),
        (b'{"size": 1.0}', NewUpload),
        (b'{"size": 1.5}', NewUpload),
        (b'{"size": 1e3}', NewUpload),
        (b'{"size": -0.0}', NewUpload),
        (b'{"size": true}', NewUpload),
        (b'{"size": []}', NewUpload),
        (b'{"size": -1}', NewUpload),
        (b'{"size": 9223372036854775808}', NewUpload),
        (b'{"size": ' + b"9" * 10_000 + b"}", NewUpload),
        (b'{"new": 1}', NewVersion),
        (b'{"new": "true"}', NewVersion),
        (b'{"new": null}', NewVersion),
        (b'{"bump": "Patch"}', NewVersion),
        (b'{"bump": ""}', NewVersion),
        (b'{"message": 1}', NewVersion),
        (b'{"labels": null}', NewVersion),
        (b'{"labels": []}', NewVersion),
        (b'{"labels": {"a": 1}}', NewVersion),
        (b'{"fields": {"macro": {}}}', NewVersion),
        (b'{"fields": {"major": {"a": 1}}}', NewVersion),
        (b'{"fields": {"major": {"": "a"}}}', NewVersion),
        (b'{"valid_for": "pca"}', NewVersion),
        (b'{"valid_for": [null]}', NewVersion),
        (b"{}", NewLink),
        (b'{"upstream": "a"}', NewLink),
        (b'{"upstream": "a", "downstream": null}', NewLink),
        (b'{"upstream": "a", "downstream": "b", "state": "unknown"}', NewLink),
        (b'{"description": 7}', ChangeOp),
        (b'{"labels": {"a": null}}', ChangeVersion),
        (b'{"compat": "patch"}', ChangeOp),
        (b'{"name": "p", "edges": [["a"]]}', NewPipeline),
        (b'{"name": "p", "edges": [["a", "b", "c"]]}', NewPipeline),
        (b'{"name": "p", "edges": {"a": "b"}}', NewPipeline),
    ],
)
def test_a_value_of_the_wrong_type_is_refused(body: bytes, kind: Any) -> None:
    json.loads(body, parse_int=str)  # it is well-formed
    refusal_reason(body, kind)


def test_the_reason_contains_the_path_of_the_value() -> None:
    assert refusal_reason(b'{"size": 1.0}', NewUpload) == "Expected `int | null`, got `float` - at `$.size`"


def body_with(key: str, value: Any) -> bytes:
    """Return a request with this key only."""
    return json.dumps({key: value}).encode()


@pytest.mark.parametrize(
    ("key", "fits", "too_long"),
    [
        ("message", "x" * 65536, "x" * 65537),
        ("message", "é" * 65536, "é" * 65537),
        ("upload", "x" * 512, "x" * 513),
        ("valid_for", ["x"] * 1000, ["x"] * 1001),
        ("labels", {"x" * 128: "y" * 1024}, {"x" * 129: "y"}),
        ("labels", {"x": "y" * 1024}, {"x": "y" * 1025}),
        ("labels", {str(n): "" for n in range(64)}, {str(n): "" for n in range(65)}),
        ("fields", {"major": {"x" * 1024: "y" * 65536}}, {"major": {"x" * 1025: "y"}}),
        ("fields", {"major": {"x": "y" * 65536}}, {"major": {"x": "y" * 65537}}),
        ("size", 2**63 - 1, 2**63),
    ],
)
def test_a_value_over_the_limit_is_refused(key: str, fits: Any, too_long: Any) -> None:
    decode(body_with(key, fits), NewVersion)
    assert f"$.{key}" in refusal_reason(body_with(key, too_long))


@pytest.mark.parametrize(
    ("key", "value", "error"),
    [
        ("digest", "sha256:x", errors.InvalidDigest),
        ("checksum", "x" * 39, errors.InvalidRequest),
        ("subversions", "aaaa.bbbb", errors.InvalidSubversions),
        ("valid_for", ["pca", "A"], errors.InvalidName),
        ("valid_with", ["pca@"], errors.InvalidReference),
        ("tags", ["latest"], errors.InvalidTag),
    ],
)
def test_a_typed_value_is_refused_with_the_error_of_its_type(
    key: str, value: object, error: type[errors.OpStoreError]
) -> None:
    with pytest.raises(error):
        decode(body_with(key, value), NewVersion)


def test_typed_values_are_parsed_and_encoded_as_their_texts() -> None:
    body = {"valid_for": ["pca@1.2", "lda"], "subversions": "1111.2222.3333_x", "tags": ["stable"], "digest": DIGEST}
    record = decode(json.dumps(body).encode(), NewVersion)
    assert record.valid_for == (Reference.parse("pca@1.2"), Reference.parse("lda"))
    assert [type(value) for value in (record.digest, record.subversions, record.tags[0])] == [Digest, Version, TagName]
    assert json.loads(encode(record)).items() >= body.items()


@pytest.mark.parametrize("value", [1, None, {}, []])
def test_a_typed_value_is_a_string(value: object) -> None:
    assert "Expected `str`" in refusal_reason(json.dumps({"upstream": value, "downstream": "b"}).encode(), NewLink)


def test_evidence_over_the_limit_is_refused() -> None:
    link = {"upstream": "a@1.0.0", "downstream": "b"}
    assert decode(json.dumps(link | {"evidence": "x" * 4096}).encode(), NewLink).evidence == "x" * 4096
    refusal_reason(json.dumps(link | {"evidence": "x" * 4097}).encode(), NewLink)


@pytest.mark.parametrize("text", ["\x00", "a\x00", "\x00a", "a\x00b", "a\n\x00", "a\x00\n", "\n\x00\n"])
def test_a_nul_is_refused_in_all_stored_text(text: str) -> None:
    refusal_reason(body_with("message", text))
    refusal_reason(body_with("labels", {text: ""}))
    refusal_reason(body_with("labels", {"a": text}))
    refusal_reason(json.dumps({"upstream": "a", "downstream": "b", "evidence": text}).encode(), NewLink)


@pytest.mark.parametrize("key", ["", "a=b", "=", "a\n", "\n", "a\nb", "\ta", "a\x1b[31m", "a\x7f", "a\r\n"])
def test_a_label_key_with_an_equals_sign_or_a_control_character_is_refused(key: str) -> None:
    refusal_reason(body_with("labels", {key: "x"}))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("labels", {"a=b": "x"}),
        ("labels", {"a": "\0"}),
        ("filename", "a/b"),
        ("message", "\0"),
        ("format", "A"),
        ("filename", ""),
        ("labels", {"": "x"}),
        ("message", "x" * 65537),
    ],
)
def test_a_refused_text_is_explained_in_words_and_not_by_a_pattern(field: str, value: Any) -> None:
    reason = refusal_reason(body_with(field, value))
    assert "`str`" not in reason
    assert reason.startswith("Expected a")
    assert "`object`" not in reason


@pytest.mark.parametrize("key", ["a", " ", "a b", "größe", "a.b/c:d", "\U0001f600", "$"])
def test_any_other_label_key_is_accepted(key: str) -> None:
    assert decode(body_with("labels", {key: "x=\n"}), NewVersion).labels == {key: "x=\n"}


# --- any bytes --------------------------------------------------------------------------------------------------

tokens = [
    *[b"{", b"}", b"[", b"]", b",", b":", b'"', b"\\", b'""', b'"a"', b'"size"', b'"labels"', b'"fields"', b'"major"'],
    *[b"1", b"-1", b"1.5", b"1e999", b"null", b"true", b"NaN", b"\\ud800", b"\\u0000", b"\xff", b"\x00", b" "],
]
bodies = st.binary(max_size=40) | st.lists(st.sampled_from(tokens), max_size=20).map(b"".join)
documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
)
requests = st.dictionaries(
    st.sampled_from([name for kind in REQUESTS for name in kind.__struct_fields__]) | st.text(max_size=4),
    documents,
    max_size=4,
).map(lambda document: json.dumps(document).encode())


@pytest.mark.fuzz
@examples(1000)
@given(bodies | requests, st.sampled_from([*REQUESTS, Problem, VersionRecord, Any]))
@example(b"[" * 200_000, Any)
@example(b'{"a":' * 200_000, Any)
@example(b'"' + b"\\" * 99_999, Any)
@example(b"9" * 100_000, Any)
@example(b"1" + b"0" * 4300, Any)
def test_any_bytes_are_either_decoded_or_refused(body: bytes, kind: Any) -> None:
    try:
        record = decode(body, kind)
    except errors.InvalidRequest:
        return
    if kind is not Any:
        assert isinstance(record, kind)
        assert decode(encode(record), kind) == record


# --- cost -----------------------------------------------------------------------------------------------


def with_keys(count: int) -> bytes:
    """Return a problem with so many keys, of which one occurs twice."""
    keys = ",".join(f'"k{number}":1' for number in range(count))
    return problem(b"{" + keys.encode() + b',"k7":2}')


COSTLY: dict[str, Callable[[int], bytes]] = {
    "many keys, one of them twice": with_keys,
    "one key many times": lambda count: problem(b"{" + b",".join([b'"k":1'] * count) + b"}"),
    "a long integer": lambda count: problem(b'{"a":' + b"9" * count + b"}"),
    "a long fraction": lambda count: problem(b'{"a":0.' + b"9" * count + b"}"),
    "a long exponent": lambda count: problem(b'{"a":1e' + b"9" * count + b"}"),
    "escapes": lambda count: problem(b'{"a":"' + rb"\u0041" * count + b'"}'),
    "surrogates": lambda count: problem(b'{"a":"' + rb"\ud83d\ude00" * count + b'"}'),
    "lone surrogates": lambda count: problem(b'{"a":"' + rb"\ud83d" * count + b'"}'),
    "nesting": lambda count: problem(b'{"a":' + b"[" * count + b"]" * count + b"}"),
    "many lists": lambda count: problem(b'{"a":[' + b",".join([b"[]"] * count) + b"]}"),
    "a long key twice": lambda count: problem(b'{"' + b"k" * count + b'":1,"' + b"k" * count + b'":1}'),
    "a value of a wrong type": lambda count: b'{"status":"' + b"x" * count + b'"}',
}


def calls(body: bytes) -> int:
    """Return how many functions are called to decode the body, those of C included."""
    count = 0

    def note(_frame: object, event: str, _argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    with suppress(errors.InvalidRequest):
        decode(body, Problem)  # what the first time imports does not count
    before = sys.getprofile()
    sys.setprofile(note)
    try:
        with suppress(errors.InvalidRequest):
            decode(body, Problem)
    finally:
        sys.setprofile(before)
    return count


@pytest.mark.parametrize("kind", few(3, COSTLY))
def test_the_cost_of_decoding_grows_no_faster_than_the_body(kind: str) -> None:
    body = COSTLY[kind]
    decode(problem(b"{}"), Problem)  # which makes the decoder
    assert calls(body(4000)) <= 2.2 * calls(body(2000)) + 50
    with suppress(errors.InvalidRequest):
        decode(body(20_000), Problem)


class Counted(str):
    """A key that counts its comparisons, of all keys together."""

    __slots__ = ()
    compared = 0

    def __eq__(self, other: object) -> bool:
        Counted.compared += 1
        return str.__eq__(self, other)

    __hash__ = str.__hash__


def test_a_duplicate_key_is_found_in_one_pass() -> None:
    """No key is compared with all others: that took 7 s for 20,000 keys, one of them twice."""
    pairs = wire._Pairs((Counted(f"k{number}"), 1) for number in (*range(20_000), 7))
    Counted.compared = 0
    with pytest.raises(ValueError, match=r"^duplicate key 'k7'$"):
        wire._check_shape(pairs)
    assert Counted.compared < 100, "only keys whose hashes collide are compared"
