"""Typed text values are parsed once and not checked again."""

import enum
import pickle

import pytest

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.checked_text import CheckedText
from opstore_daemon.protocol.checksums import Checksum
from opstore_daemon.protocol.digests import Digest
from opstore_daemon.protocol.names import OpName, PipelineName
from opstore_daemon.protocol.references import Reference, TagName
from opstore_daemon.protocol.samples import Sample
from opstore_daemon.protocol.versions import Version, VersionNumber

SUM = "xxh128:" + "0" * 32
EXAMPLES: list[tuple[type[CheckedText], str]] = [
    (OpName, "pca"),
    (PipelineName, "churn"),
    (TagName, "stable"),
    (Digest, "sha256:" + "0" * 64),
    (Checksum, SUM),
    (Sample, SUM),
]


@pytest.mark.parametrize(("kind", "text"), EXAMPLES)
def test_parse_returns_the_text_as_its_type(kind: type[CheckedText], text: str) -> None:
    parsed = kind.parse(text)
    assert type(parsed) is kind
    assert parsed == text
    assert pickle.loads(pickle.dumps(parsed)) == parsed  # noqa: S301


@pytest.mark.parametrize(("kind", "text"), EXAMPLES)
def test_parse_returns_a_parsed_value_unchecked(
    kind: type[CheckedText], text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed = kind.parse(text)
    monkeypatch.setattr(kind, "check", None)
    assert kind.parse(parsed) is parsed


@pytest.mark.parametrize(("kind", "text"), EXAMPLES)
def test_parse_refuses_other_texts(kind: type[CheckedText], text: str) -> None:
    for wrong in ("", text + "\n", text + "!", "A"):
        with pytest.raises(errors.Refused):
            kind.parse(wrong)


@pytest.mark.parametrize(("kind", "text"), EXAMPLES)
def test_parse_takes_the_value_of_a_member_of_an_enum(kind: type[CheckedText], text: str) -> None:
    class Texts(str, enum.Enum):  # noqa: UP042 - str() of a StrEnum is its value, str() of this is `Texts.TEXT`
        TEXT = text

    assert kind.parse(Texts.TEXT) == text


def test_a_reference_takes_the_value_of_a_member_of_an_enum() -> None:
    class Ops(str, enum.Enum):  # noqa: UP042 - as above
        PCA = "pca"
        PCA_1 = "pca@1.0.0"

    assert [str(Reference.parse(each)) for each in Ops] == ["pca", "pca@1.0.0"]


def test_parse_checks_a_value_of_another_type() -> None:
    with pytest.raises(errors.InvalidTag):
        TagName.parse(OpName.parse("latest"))


def test_references_versions_and_version_numbers_are_also_parsed_once() -> None:
    for parsed in (Reference.parse("pca@1.2"), Version.parse("aaaa.bbbb.cccc"), VersionNumber(1, 2, 3)):
        assert type(parsed).parse(parsed) is parsed  # type: ignore[arg-type]
