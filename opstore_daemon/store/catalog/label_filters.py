"""Conditions on the labels of versions."""

from collections.abc import Sequence
from functools import cache

from sqlalchemy import ColumnElement, bindparam, exists

from opstore_daemon.metadata.tables import Label, Version
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.labels import MAX_FILTERS, LabelFilter
from opstore_daemon.store.catalog.version_rows import ALL, Where
from opstore_daemon.store.snapshot import Snapshot, TimeFilter


def with_labels(snapshot: Snapshot, labels: Sequence[LabelFilter]) -> Where:
    """Select the versions that have all these labels; raise InvalidRequest for more than MAX_FILTERS."""
    if len(labels) > MAX_FILTERS:
        raise errors.InvalidRequest(reason=f"{len(labels)} labels are too many: the limit is {MAX_FILTERS}")
    where = ALL
    for place, label in enumerate(labels):
        values = {f"label_{place}": label.key}
        if label.value is not None:
            values[f"value_{place}"] = label.value
        where &= Where((_has_label(snapshot.time_filter, place, label.value is not None),), values)
    return where


@cache
def _has_label(time_filter: TimeFilter, place: int, with_value: bool) -> ColumnElement[bool]:
    conditions = [Label.version_id == Version.id, Label.key == bindparam(f"label_{place}"), time_filter.in_force(Label)]
    if with_value:
        conditions.append(Label.value == bindparam(f"value_{place}"))
    return exists().where(*conditions).correlate(Version)
