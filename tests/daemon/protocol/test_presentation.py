"""Records as people see them: in a shell, in a notebook, and as the rows of a data frame."""

import copy
import dataclasses
import json
import pickle
import pprint
from datetime import UTC, datetime
from typing import Any

from opstore_daemon.protocol import records
from opstore_daemon.protocol.records import EdgeVerdict, Lock, LockedVersion, OpVersion, Validation, VersionRecord
from opstore_daemon.protocol.records.html_tables import MAX_ROWS
from opstore_daemon.protocol.records.presentation import RecordList, Rows
from tests.support.for_each import for_each

WHEN = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
HOSTILE = "<script>alert(1)</script>\x1b[2J\n\u202e"


def a_version(**others: Any) -> VersionRecord:
    known: dict[str, Any] = {
        "op": "pca", "version": "1.0.0", "subversions": "aaaa.bbbb.cccc", "sequence": 1,
        "digest": "sha256:" + "ab" * 32, "size": 12,
        "registered_at": WHEN, "labels": {"run": "17"}, "tags": ("stable", "live"), "position": 3,
    }  # fmt: skip
    return VersionRecord(**(known | others))


def an_edge(**others: Any) -> EdgeVerdict:
    ends = {"upstream": OpVersion(op="pca", version="1.0.0"), "downstream": OpVersion(op="forest", version=None)}
    known: dict[str, Any] = {**ends, "verdict": "invalid", "reason": "never validated"}
    fields = {name: "not-validated" for name in EdgeVerdict.__struct_fields__ if name == "basis"}
    return EdgeVerdict(**(known | fields | others))


def every_record() -> list[Any]:
    kinds = [getattr(records, name) for name in records.__all__]
    return [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, records.Record | records.Request)]


def unstyled(record: Any) -> str:
    """Return its HTML as a notebook shows it, without the alignment of its cells."""
    html: str = record._repr_html_()
    return html.replace(' style="text-align: left"', "")


def test_the_repr_is_one_line_with_what_matters() -> None:
    stored = "<VersionRecord pca@1.0.0, sha256:abababab, 12 B, labels run=17, tags stable live>"
    assert repr(a_version()) == stored
    bare = a_version(digest=None, size=None, labels={}, tags=())
    assert repr(bare) == "<VersionRecord pca@1.0.0>"
    assert repr(an_edge()).startswith("<EdgeVerdict pca@1.0.0 -> forest, invalid, ")
    assert (
        repr(Validation(verdict="invalid", edges=(an_edge(),), versions=())) == "<Validation invalid: never validated>"
    )
    assert repr(Lock(edges=(), versions=())) == "<Lock of 0 versions: >"
    assert pprint.pformat(a_version()) == stored


def test_nothing_that_somebody_wrote_breaks_the_line_or_the_table() -> None:
    record = a_version(labels={HOSTILE: HOSTILE}, message=HOSTILE * 1000)
    for shown in (repr(record), record._repr_html_(), RecordList([record, record])._repr_html_()):
        assert not any(each in shown for each in ("\x1b", "\n", "\u202e"))
        assert len(shown) < 2500
        assert shown == repr(record) or "<script" not in shown
    assert len(repr(record)) < 200


def test_the_dict_is_the_json_of_the_record() -> None:
    record = a_version()
    assert record.to_dict() == json.loads(records.encode(record))
    assert record.to_dict()["registered_at"] == "2026-01-02T03:04:05.000006Z"
    assert record.to_dict()["tags"] == ["stable", "live"]
    assert RecordList([record]).to_dicts() == [record.to_dict()]
    lock = Lock(edges=(("a", "b"),), versions=(LockedVersion(op="a", subversions="aaaa.bbbb.cccc"),))
    assert lock.to_dict()["versions"][0]["op"] == "a"


def test_a_version_and_an_op_with_its_version_are_written_as_a_reference() -> None:
    assert str(a_version()) == f"{OpVersion(op='pca', version='1.0.0')}" == "pca@1.0.0"
    assert str(OpVersion(op="pca", version=None)) == "pca"


def test_a_table_has_the_columns_that_have_values_and_escapes_them() -> None:
    page = unstyled(RecordList([a_version(tags=()), a_version(version="1.0.1", tags=(), message="<b>")]))
    assert "<th>message</th>" in page
    assert "<th>tags</th>" not in page
    assert "<td>&lt;b&gt;</td>" in page
    assert "<td>run=17</td>" in page
    assert "<td>2026-01-02 03:04:05 UTC</td>" in page
    assert f'<td title="{a_version().digest}">sha256:abababab</td>' in page
    assert '<td title="12 bytes">12 B</td>' in page
    assert not any(f"<th>{name}</th>" in page for name in ("yanked", "sequence", "position", "note"))
    assert RecordList([])._repr_html_() == "<p>none</p>"
    validation = unstyled(Validation(verdict="invalid", edges=(an_edge(),), versions=()))
    assert validation.startswith("<p>invalid: never validated</p><table>")
    assert "<td>pca@1.0.0</td><td>forest</td><td>invalid</td>" in validation
    assert "<th>op</th><td>pca</td>" in unstyled(a_version())


def test_a_long_table_says_how_many_rows_it_leaves_out() -> None:
    page = RecordList([a_version()] * (MAX_ROWS + 5))._repr_html_()
    assert page.count("<tr>") == MAX_ROWS + 1
    assert page.endswith("<p>and 5 more</p>")


def test_a_list_of_records_stays_one_when_it_is_sliced() -> None:
    found = RecordList([a_version(), a_version(version="1.0.1")])
    assert isinstance(found[:1], RecordList)
    assert found[0].version == "1.0.0"
    assert found == [a_version(), a_version(version="1.0.1")]
    assert pickle.loads(pickle.dumps(found)) == found  # noqa: S301


def test_a_row_is_taken_as_a_dataclass_and_stays_a_record() -> None:
    record = a_version()
    assert dataclasses.is_dataclass(record)
    assert dataclasses.asdict(record)["labels"] == {"run": "17"}
    fields = [field.name for field in dataclasses.fields(record)]
    assert fields == [name for name in record.__struct_fields__ if name != "damaged"], "hardly any record has that key"
    assert records.decode(records.encode(record), VersionRecord) == record
    edge = dataclasses.asdict(an_edge())
    assert (str(edge["upstream"]), str(edge["downstream"])) == ("pca@1.0.0", "forest")


def test_the_word_of_a_verdict_is_true_only_if_it_is_valid_and_stays_a_text() -> None:
    for word, truth in (("valid", True), ("invalid", False), ("unknown", False)):
        for edge in (an_edge(verdict=word), records.decode(records.encode(an_edge(verdict=word)), EdgeVerdict)):
            assert bool(edge.verdict) is truth
            assert edge.verdict == word
            assert {word: 1}[edge.verdict] == 1
            assert json.loads(json.dumps({"verdict": edge.verdict})) == {"verdict": word}
            pickled = pickle.loads(pickle.dumps(edge))  # noqa: S301
            assert copy.deepcopy(edge) == pickled == edge
            assert bool(pickled.verdict) is truth


@for_each("kind", every_record())
def test_every_record_with_a_verdict_has_that_word(kind: Any) -> None:
    assert ("verdict" in kind.__struct_fields__) == issubclass(kind, records.base.WithVerdict)
    if issubclass(kind, Rows):
        assert kind.ROWS in kind.__struct_fields__
