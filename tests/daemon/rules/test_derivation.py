"""The subversions that a push makes, computed by hand from the contract."""

import hashlib
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opstore_daemon.protocol.digests import digest_of
from opstore_daemon.protocol.records import LEVELS, Level
from opstore_daemon.protocol.versions import Version
from opstore_daemon.rules.derivation import bump, from_fields
from tests.daemon.rules import oracle

BYTES = b"the bytes of an op"
HEX = hashlib.sha256(BYTES).hexdigest()
DIGEST = digest_of(BYTES)
NOTHING = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"  # sha256sum < /dev/null
BASE = Version("aaaa", "bbbb", "cccc")

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
keys = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6)
some_fields: st.SearchStrategy[dict[Level, dict[str, str]]] = st.dictionaries(
    st.sampled_from(LEVELS), st.dictionaries(keys, texts, max_size=4)
)
subversions = st.text("0123456789abcdef", min_size=4, max_size=64)
bases = st.none() | st.tuples(subversions, subversions, subversions)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_the_hash_of_nothing_is_the_sha256_of_no_bytes() -> None:
    assert sha256(b"") == NOTHING


def test_a_bump_keeps_the_levels_above_renews_its_own_and_resets_those_below() -> None:
    new = sha256(f"aaaa.bbbb.cccc\nsha256:{HEX}".encode())
    assert bump(BASE, "major", DIGEST).subversions == (new, NOTHING, NOTHING)
    assert bump(BASE, "minor", DIGEST).subversions == ("aaaa", new, NOTHING)
    assert bump(BASE, "patch", DIGEST).subversions == ("aaaa", "bbbb", new)


def test_the_first_push_of_an_op_bumps_the_hash_of_nothing() -> None:
    new = sha256(f"\nsha256:{HEX}".encode())
    assert bump(None, "major", DIGEST).subversions == (new, NOTHING, NOTHING)
    assert bump(None, "minor", DIGEST).subversions == (NOTHING, new, NOTHING)
    assert bump(None, "patch", DIGEST).subversions == (NOTHING, NOTHING, new)


def test_a_bump_ignores_the_time_in_the_chariots_form() -> None:
    noted = Version.parse("aaaa.bbbb.cccc_2020-01-01 10:00:00")
    assert bump(noted, "patch", DIGEST) == bump(BASE, "patch", DIGEST)


@pytest.mark.parametrize("level", LEVELS)
def test_older_bytes_pushed_again_make_a_new_version(level: Level) -> None:
    first = bump(None, level, DIGEST)
    second = bump(first, level, digest_of(b"others"))
    third = bump(second, level, DIGEST)
    assert len({first, second, third}) == 3


@pytest.mark.oracle
@given(bases, st.sampled_from(LEVELS), st.binary(max_size=8))
def test_bumps_agree_with_the_oracle(base: oracle.Subversions | None, level: Level, data: bytes) -> None:
    made = bump(Version(*base) if base else None, level, digest_of(data))
    assert made.subversions == oracle.bumped(base, level, "sha256:" + sha256(data))


def test_a_level_hashes_its_fields_as_json_with_sorted_keys_and_no_spaces() -> None:
    fields: Mapping[Level, Mapping[str, str]] = {
        "major": {"n": "3", "algorithm": "pca"},
        "minor": {"tol": "1e-3"},
        "patch": {"seed": "7"},
    }
    assert from_fields(fields, DIGEST).subversions == (
        sha256(b'{"algorithm":"pca","n":"3"}'),
        sha256(b'{"tol":"1e-3"}'),
        sha256(b'{"seed":"7"}'),
    )


def test_non_ascii_keys_and_values_are_hashed_as_utf_8_and_not_escaped() -> None:
    fields: Mapping[Level, Mapping[str, str]] = {"major": {"größe": "日本 x", "Zahl": 'a"\\\n', "a": "\U0001f600"}}
    expected = '{"Zahl":"a\\"\\\\\\n","a":"\U0001f600","größe":"日本 x"}'
    assert from_fields(fields, None).major == sha256(expected.encode("utf-8"))


def test_without_fields_major_and_minor_hash_nothing_and_patch_is_the_digest_of_the_bytes() -> None:
    assert from_fields({}, DIGEST).subversions == (NOTHING, NOTHING, HEX)
    assert from_fields({"major": {}, "minor": {}, "patch": {}}, DIGEST).subversions == (NOTHING, NOTHING, HEX)


def test_without_fields_and_bytes_every_level_hashes_nothing() -> None:
    assert from_fields({}, None).subversions == (NOTHING, NOTHING, NOTHING)
    assert from_fields({"minor": {"a": "b"}}, None).subversions == (NOTHING, sha256(b'{"a":"b"}'), NOTHING)


def test_patch_fields_replace_the_digest_of_the_bytes() -> None:
    assert from_fields({"patch": {"a": "b"}}, DIGEST) == from_fields({"patch": {"a": "b"}}, digest_of(b"others"))


@pytest.mark.oracle
@given(some_fields, st.none() | st.binary(max_size=8))
def test_subversions_of_fields_agree_with_the_oracle(fields: dict[Level, dict[str, str]], data: bytes | None) -> None:
    made = from_fields(fields, None if data is None else digest_of(data))
    expected = oracle.declared(fields, None if data is None else "sha256:" + sha256(data))
    assert made.subversions == expected


@given(st.dictionaries(keys, texts, min_size=2, max_size=4))
def test_the_order_of_fields_makes_no_difference(fields: dict[str, str]) -> None:
    turned = dict(reversed(fields.items()))
    assert from_fields({"major": fields}, DIGEST) == from_fields({"major": turned}, DIGEST)
