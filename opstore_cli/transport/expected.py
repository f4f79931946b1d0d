"""What a response has to agree with: a function for each kind of record, which returns whether it fits the request.

The decoder has checked the grammar of each field (`protocol.records`). These functions compare the fields with what was
requested and with each other, so that nobody acts on the answer to another question. The client calls them as soon as
it has a record, and raises UnexpectedResponse (`ApiClient.expect`).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.digests import Digest
from opstore_daemon.protocol.labels import LabelFilter
from opstore_daemon.protocol.names import PipelineName
from opstore_daemon.protocol.records import (
    SET_VERDICTS,
    VERDICTS,
    Affected,
    BisectionRecord,
    ChangeVersion,
    Check,
    Collection,
    EdgeVerdict,
    JournalEntry,
    LinkRecord,
    LinkState,
    Lock,
    NewBisection,
    NewRemoval,
    NewRun,
    NewVersion,
    OpRecord,
    OpVersion,
    PipelineRecord,
    Pushed,
    RecordedRun,
    Removal,
    Resolution,
    RunRecord,
    RunResult,
    SetChange,
    SetHistory,
    SetVerdict,
    TagRecord,
    UnfinishedUpload,
    Upload,
    Validation,
    VersionDetails,
    VersionRecord,
    Versions,
    combine,
)
from opstore_daemon.protocol.records.fsck import FsckCheck
from opstore_daemon.protocol.references import (
    AnyVersion,
    DigestPrefix,
    Line,
    Range,
    Reference,
    Selector,
    Tag,
    TagName,
)
from opstore_daemon.protocol.versions import Version, VersionNumber

Edges = Sequence[tuple[str, str]]
Place = tuple[int | str, ...]


# --- lists ----------------------------------------------------------------------------------------------------------


def place(row: object) -> Place:
    """Return the place of a row in its list: each is greater than that of the row before, and than ()."""
    match row:
        case OpRecord() | PipelineRecord():
            return (row.name,)
        case UnfinishedUpload():
            return (row.upload,)
        case VersionRecord():
            return (-row.sequence,)  # newest first
        case SetChange():
            return (row.position,)  # oldest first
        case LinkRecord() | JournalEntry() | RunRecord() | BisectionRecord():
            return (-row.position,)
        case TagRecord():
            return (-row.position, row.op, row.tag)
    raise TypeError(f"{type(row).__name__} is no row of a list")


def fsck_place(cursor: str) -> Place | None:
    """Return the place of a page of `fsck`, greater than those of the pages before; None if it is no cursor of one."""
    check, _, begin = cursor.partition(":")
    checks = get_args(FsckCheck)
    if check not in checks:
        return None
    place = checks.index(check)
    if check not in ("journal", "versions"):
        return place, begin
    numbers = begin.split("/") if begin else []
    if not all(each.isascii() and each.isdigit() and len(each) < 20 for each in numbers):
        return None
    return (place, *map(int, numbers))


# --- versions -------------------------------------------------------------------------------------------------------


def is_version(record: VersionRecord, op: str, selector: Selector | None = None) -> bool:
    """Return whether it is a version of the op that the selector can select; None: any version."""
    number = VersionNumber.parse(record.version)
    if record.op != op or (record.digest is None) != (record.size is None):
        return False
    match selector:
        case DigestPrefix():
            return record.digest is not None and record.digest.startswith(str(selector))
        case Tag(name) if (digits := name.digits()) is not None and name not in record.tags:
            return record.digest is not None and record.digest.startswith(f"sha256:{digits}")
        case Version():
            return Version.parse(record.subversions) == selector
    return _has_number(selector, number)


def _has_number(selector: Selector | None, number: VersionNumber) -> bool:
    """Return whether the selector can select a version of that number; a tag, a digest and `latest` can select any."""
    match selector:
        case VersionNumber():
            return number == selector
        case Line(major, minor):
            return number.major == major and minor in (None, number.minor)
        case Range(specifiers):
            from packaging.specifiers import SpecifierSet

            return SpecifierSet(specifiers).contains(str(number))
    return True


def is_selected(version: OpVersion, reference: Reference) -> bool:
    """Return whether the reference can select the version. Only a bare name selects an op without versions."""
    if version.version is None:
        return version.op == reference.op and reference.bare
    return version.op == reference.op and _has_number(reference.selector, VersionNumber.parse(version.version))


def is_pushed(pushed: Pushed, op: str, declared: NewVersion) -> bool:
    """Return whether it is the version that was pushed: its op, bytes and, if declared, subversions and format."""
    # The version that declared subversions or fields name may be there already.
    is_declared = declared.subversions is not None or declared.fields is not None
    fits = is_version(pushed, op) and (pushed.created or not declared.new or is_declared)
    if declared.subversions is not None and declared.otherwise == "refuse":
        fits = fits and Version.parse(pushed.subversions) == declared.subversions
    if pushed.created and declared.size is not None:
        fits = fits and pushed.format == declared.format
    fits = fits and declared.digest in (None, pushed.digest) and declared.size in (None, pushed.size)
    return fits and _are_links_of(pushed, declared)


def _are_links_of(pushed: Pushed, declared: NewVersion) -> bool:
    """Return whether its links are those that were declared: first those from it, then those to it."""
    count = len(declared.valid_for)
    return len(pushed.links) == count + len(declared.valid_with) and all(
        (
            *(_is_from(link, pushed, down) for link, down in zip(pushed.links, declared.valid_for, strict=False)),
            *(_is_to(link, pushed, up) for link, up in zip(pushed.links[count:], declared.valid_with, strict=True)),
        )
    )


def _is_from(link: LinkRecord, pushed: Pushed, downstream: Reference) -> bool:
    end = OpVersion(op=link.downstream, version=link.downstream_version)
    return (link.upstream, link.upstream_version) == (pushed.op, pushed.version) and (
        _is_target(end, downstream) or (_is_kept_for_any(link) and link.downstream == downstream.op)
    )


def _is_to(link: LinkRecord, pushed: Pushed, upstream: Reference) -> bool:
    end = OpVersion(op=link.upstream, version=link.upstream_version)
    is_target = link.downstream_version == pushed.version or _is_kept_for_any(link)
    return link.downstream == pushed.op and is_target and is_selected(end, upstream)


def _is_kept_for_any(link: LinkRecord) -> bool:
    """Return whether the link says that a version is invalid for any version: a push does not reverse it."""
    return link.downstream_version is None and not link.valid


def is_edited(record: VersionRecord, change: ChangeVersion) -> bool:
    """Return whether the version has the message and the labels that an edit gave it."""
    return (
        change.message in (None, record.message or "")
        and all(record.labels.get(key) == value for key, value in change.labels.items())
        and not set(change.unlabel) & record.labels.keys()
    )


def has_labels(record: VersionRecord, labels: Iterable[LabelFilter]) -> bool:
    """Return whether the version has all these labels."""
    return all(each.key in record.labels and each.value in (None, record.labels[each.key]) for each in labels)


def is_page_of_versions(page: Versions, wanted: Reference, labels: Sequence[LabelFilter] = ()) -> bool:
    """Return whether it lists versions that the reference can select and that have these labels."""
    return (
        page.op == wanted.op
        and all(is_version(record, wanted.op, wanted.selector) for record in page.versions)
        and all(has_labels(record, labels) for record in page.versions)
        and all(skipped.op == wanted.op for skipped in page.skipped)
        and (page.verdict == "valid" or not page.versions)
    )


# --- ops, tags, pipelines, uploads ----------------------------------------------------------------------------------


def are_unique(names: Iterable[str]) -> bool:
    """Return whether the names are unique."""
    listed = list(names)
    return len(set(listed)) == len(listed)


def are_details(found: VersionDetails, op: str, selector: Selector) -> bool:
    """Return whether they are about a version that the selector can select, and its edges are those of that version."""
    own = OpVersion(op=found.version.op, version=found.version.version)
    return (
        is_version(found.version, op, selector)
        and all(edge.downstream == own and edge.upstream.op != op for edge in found.upstreams)
        and all(edge.upstream == own and edge.downstream.op != op for edge in found.downstreams)
        and all(own in run.versions for run in found.runs)
    )


def is_entry(entry: JournalEntry, name: str | None) -> bool:
    """Return whether it is an entry of the journal about the op or the pipeline of that name; None: about any."""
    return name is None or entry.pipeline == name or any(version.op == name for version in entry.versions)


def is_tag(record: TagRecord, op: str | None, *, history: bool = False) -> bool:
    """Return whether it is a legal tag on a version of the op; in the history also one that was removed."""
    try:
        TagName.check(record.tag)
    except errors.Refused:
        return False
    return op in (None, record.op) and (history or record.version is not None)


def are_tags(records: Sequence[TagRecord], references: Sequence[Reference], tag: str) -> bool:
    """Return whether they are this tag on one version for each of the references."""
    selected = {record.op: OpVersion(op=record.op, version=record.version) for record in records}
    return (
        len(selected) == len(records) == len({reference.op for reference in references})
        and all(record.tag == tag and is_tag(record, None) for record in records)
        and all(each.op in selected and is_selected(selected[each.op], each) for each in references)
    )


def is_removal(removal: Removal, asked: NewRemoval) -> bool:
    """Return whether it removes what the references select, and nothing else, and only with `force` what is needed."""
    whole = {each.op for each in asked.references if each.bare}
    named = [each for each in asked.references if not each.bare]
    found = removal.removed
    return (
        removal.dry_run == asked.dry_run
        and (removal.position is None) == asked.dry_run
        and sorted(removal.ops) == sorted(whole)
        and len(set(map(str, found))) == len(found)
        and all(any(is_selected(each, reference) for each in found) for reference in named)
        and all(
            each.version is not None
            and ((asked.all_versions and each.op in whole) or any(is_selected(each, reference) for reference in named))
            for each in found
        )
        and (asked.force or asked.dry_run or removal.broken_count == 0)
        and len(removal.broken) <= removal.broken_count
        and all(need.version in found or need.version.op in whole for need in removal.broken)
    )


def is_graph(ops: Sequence[str], edges: Edges) -> bool:
    """Return whether the ops are in the order of the data, so that there is no cycle, and ops and edges are unique."""
    places = {op: place for place, op in enumerate(ops)}
    return (
        len(places) == len(ops) > 0
        and len(set(edges)) == len(edges)
        and all(up in places and down in places and places[up] < places[down] for up, down in edges)
    )


def is_pipeline(record: PipelineRecord, name: str) -> bool:
    """Return whether it is the pipeline of that name."""
    return record.name == name and is_graph(record.ops, record.edges)


def is_registered(record: PipelineRecord, name: str, ops: Sequence[str], edges: Edges) -> bool:
    """Return whether it is the pipeline with this graph."""
    given = {*ops, *(op for edge in edges for op in edge)}
    return is_pipeline(record, name) and set(record.ops) == given and set(record.edges) == set(edges)


def is_upload(record: Upload, size: int | None, upload: str | None = None) -> bool:
    """Return whether it is an upload of that size; a new one is empty. `upload`: the id of one that is known."""
    if upload is None:
        return record.offset == 0 and record.size == size
    return record.upload == upload


def pairs(edges: Sequence[EdgeVerdict]) -> list[tuple[str, str]]:
    """Return the upstream and the downstream op of each edge."""
    return [(edge.upstream.op, edge.downstream.op) for edge in edges]


# --- links and verdicts ---------------------------------------------------------------------------------------------


def is_link(link: LinkRecord, filters: Mapping[str, str | None], *, history: bool) -> bool:
    """Return whether the filters `op`, `upstream` and `downstream` select it; without `history` it is in force."""
    ends = (link.upstream, link.downstream)
    return (
        link.upstream != link.downstream
        and link.valid == (link.state == "valid")
        and (history or (link.state != "revoked" and link.until is None))
        and (filters["op"] is None or filters["op"] in ends)
        and filters["upstream"] in (None, link.upstream)
        and filters["downstream"] in (None, link.downstream)
    )


def is_recorded(
    link: LinkRecord, upstream: Reference, downstream: Reference, state: LinkState, evidence: str | None
) -> bool:
    """Return whether it is the link that was recorded or, for `revoked`, the one that was revoked."""
    up = OpVersion(op=link.upstream, version=link.upstream_version)
    down = OpVersion(op=link.downstream, version=link.downstream_version)
    return (
        is_link(link, {"op": None, "upstream": upstream.op, "downstream": downstream.op}, history=True)
        and (state == "revoked" or (link.state == state and evidence in (None, link.evidence)))
        and is_selected(up, upstream)
        and _is_target(down, downstream)
    )


def _is_target(end: OpVersion, downstream: Reference) -> bool:
    """Return whether a link to this end is one to the downstream reference."""
    if isinstance(downstream.selector, AnyVersion):
        return end == OpVersion(op=downstream.op, version=None)
    return end.version is not None and is_selected(end, downstream)


def is_verdict(found: Validation, upstream: Reference, downstream: Reference) -> bool:
    """Return whether it is the verdict for this one edge."""
    return (
        found.pipeline is None
        and found.set is None
        and found.exact_set is None
        and _is_consistent(found)
        and pairs(found.edges) == [(upstream.op, downstream.op)]
        and len(found.versions) == 2
        and is_selected(found.edges[0].upstream, upstream)
        and is_selected(found.edges[0].downstream, downstream)
    )


def is_pipeline_verdict(found: Validation, pipeline: str, use: Sequence[Reference], *, exact_set: bool = False) -> bool:
    """Return whether it is the verdict for the pipeline, with the versions to use, and on the set if `exact_set`."""
    versions = {version.op: version for version in found.versions}
    return (
        found.pipeline == pipeline
        and _is_consistent(found)
        and (found.set is None) == any(version.version is None for version in found.versions)
        and (found.exact_set is not None) == exact_set
        and all(each.op in versions and is_selected(versions[each.op], each) for each in use)
    )


def _is_consistent(found: Validation) -> bool:
    """Return whether the edges are between the versions, and the verdict follows from theirs and that on the set."""
    versions = {version.op: version for version in found.versions}
    counted = [edge.verdict for edge in found.edges] + [whole.verdict for whole in _set_verdicts(found)]
    return (
        is_graph([version.op for version in found.versions], pairs(found.edges))
        and all(versions[end.op] == end for edge in found.edges for end in (edge.upstream, edge.downstream))
        and all((edge.upstream.version is None) == (edge.basis == "no-version") for edge in found.edges)
        and all(edge.verdict == VERDICTS.get(edge.basis) for edge in found.edges)
        and found.verdict == combine(counted)
        and _is_run_of(found)
    )


def _set_verdicts(found: Validation) -> tuple[SetVerdict, ...]:
    return () if found.exact_set is None else (found.exact_set,)


def _is_run_of(found: Validation) -> bool:
    """Return whether the run is one of exactly these versions that decides, and the verdict on the set follows."""
    run = found.run
    basis = "not-run" if run is None else "run" if run.result == "passed" else "run-failed"
    return (
        (run is None or (run.set == found.set and is_run_of(run, found.versions) and run.result != "unknown"))
        and all(each.basis == basis for each in _set_verdicts(found))
        and all(each.verdict == SET_VERDICTS[each.basis] for each in _set_verdicts(found))
    )


def is_run_of(run: RunRecord, versions: Iterable[OpVersion]) -> bool:
    """Return whether it is a run of exactly these versions, each once."""
    return are_unique(version.op for version in run.versions) and set(run.versions) == set(versions)


def has_op_without_edge(ops: Sequence[str], edges: Edges) -> bool:
    """Return whether some op has no edge, which is rare: an edge may be missing from the response."""
    return set(ops) != {op for edge in edges for op in edge}


def is_resolution(found: Resolution, pipeline: str) -> bool:
    """Return whether it is a resolution of the pipeline, or says why there is none."""
    ops = [version.op for version in found.versions]
    if found.pipeline != pipeline or (found.verdict == "valid") != bool(ops):
        return False
    if not ops:
        return all(pair in found.edges for pair in pairs(found.conflict))
    return (
        is_graph(ops, found.edges)
        and not found.conflict
        and all(is_version(version, version.op) for version in found.versions)
        and all(skipped.op in ops for skipped in found.skipped)
    )


def is_check(found: Check, pipeline: str, lock: Lock) -> bool:
    """Return whether it says if the lock holds: with the versions of all its ops, unless there are findings."""
    ops = [version.op for version in found.versions]
    locked = {version.op for version in lock.versions}
    return (
        (found.pipeline, found.holds) == (pipeline, not found.findings)
        and are_unique(ops)
        and (set(ops) == locked if found.holds else set(ops) <= locked)
        and all(version.version is not None for version in found.versions)
    )


def is_affected(found: Affected, reference: Reference) -> bool:
    """Return whether it lists the ops that the version affects."""
    ops = [each.op for each in found.affected]
    return (
        found.version.version is not None
        and is_selected(found.version, reference)
        and reference.op not in ops
        and are_unique(ops)
        and all(each.verdict == VERDICTS.get(each.basis) != "valid" for each in found.affected)
    )


# --- runs -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Which runs were requested; None, or a command without words: any."""

    pipeline: PipelineName | None
    version: Reference | None
    set: Digest | None
    result: RunResult | None
    command: tuple[str, ...]
    script: Digest | None


def is_run(run: RunRecord, wanted: RunFilter) -> bool:
    """Return whether the filter selects the run."""
    version = wanted.version
    return (
        are_unique(each.op for each in run.versions)
        and wanted.pipeline in (None, run.pipeline)
        and wanted.set in (None, run.set)
        and wanted.result in (None, run.result)
        and wanted.command in ((), run.command)
        and wanted.script in (None, run.script)
        and (version is None or any(is_selected(each, version) for each in run.versions))
    )


def is_recorded_run(recorded: RecordedRun, pipeline: str, new: NewRun) -> bool:
    """Return whether it is the run that was sent, with links between the versions of its set."""
    run = recorded.run
    versions = {str(OpVersion(op=each.op, version=each.version)) for each in run.versions}
    sent = (new.command, new.script, new.result, new.reason, new.exit_code, new.output_digest, new.output_size)
    found = (run.command, run.script, run.result, run.reason, run.exit_code, run.output_digest, run.output_size)
    return (
        run.pipeline == pipeline
        and found == sent
        and len(versions) == len(run.versions)
        and versions == set(map(str, new.versions))
        and (new.result == "passed" or not (recorded.links or recorded.kept_invalid))
        and all(_is_edge(link, new) and link.valid and link.run == run.position for link in recorded.links)
        and all(_is_edge(link, new) and not link.valid for link in recorded.kept_invalid)
    )


def is_set_history(page: SetHistory, pipeline: str, before: SetHistory | None) -> bool:
    """Return whether it is a page of the pipeline's history, and continues the page before."""
    ops = [version.op for version in page.versions]
    return (
        page.pipeline == pipeline
        and is_graph(ops, page.edges)
        and page.since <= page.until
        and all(change.op in ops and page.since < change.position <= page.until for change in page.changes)
        and (before is None or (before.since, before.edges, before.versions) == (page.since, page.edges, page.versions))
    )


def is_bisection(record: BisectionRecord, pipeline: str | None) -> bool:
    """Return whether it is a bisection of the pipeline (None: of any), with its culprit at the first bad position."""
    ops = [version.op for version in record.last_good_versions]
    return (
        pipeline in (None, record.pipeline)
        and record.good <= record.last_good < record.first_bad <= record.bad
        and record.culprit.position == record.first_bad
        and record.culprit.op in ops
        and are_unique(ops)
        and all(version.version is not None for version in record.last_good_versions)
    )


def is_recorded_bisection(record: BisectionRecord, pipeline: str, new: NewBisection) -> bool:
    """Return whether it is the bisection that was sent."""
    sent = (new.command, new.script, new.good, new.bad, new.last_good, new.first_bad, new.skipped, new.runs)
    found = (
        *(record.command, record.script, record.good, record.bad),
        *(record.last_good, record.first_bad, record.skipped, record.runs),
    )
    return is_bisection(record, pipeline) and found == sent


def _is_edge(link: LinkRecord, new: NewRun) -> bool:
    """Return whether an edge of the run has the link: from its upstream version to its downstream one, or to any."""
    versions: dict[str, Reference] = {reference.op: reference for reference in new.versions}
    if (link.upstream, link.downstream) not in new.edges:
        return False
    up = OpVersion(op=link.upstream, version=link.upstream_version)
    down = OpVersion(op=link.downstream, version=link.downstream_version)
    return is_selected(up, versions[link.upstream]) and (
        link.downstream_version is None or is_selected(down, versions[link.downstream])
    )


# --- maintenance ----------------------------------------------------------------------------------------------------


def is_collection(record: Collection, dry_run: bool) -> bool:
    """Return whether it is what a collection did, or would do, and its sum is right."""
    return record.dry_run == dry_run and record.freed == (record.uploads_size + record.drafts_size + record.purged_size)
