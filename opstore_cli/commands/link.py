"""`opstore link`: record that an upstream version is, or is not, valid for a downstream op."""

import click

from opstore_cli.console import results
from opstore_cli.console.command import command
from opstore_cli.console.parameters import ReferenceType
from opstore_cli.console.session import Session
from opstore_daemon.protocol.references import Reference


@command("link")
@click.argument("upstream", metavar="UP[@SEL]", type=ReferenceType())
@click.argument("downstream", metavar="DOWN[@SEL]", type=ReferenceType())
@click.option("--invalid", is_flag=True, help="Record that the version is known not to be valid.")
@click.option("--evidence", metavar="TEXT", help="How you know: a report, a run, a URL.")
def link(session: Session, upstream: Reference, downstream: Reference, invalid: bool, evidence: str | None) -> None:
    """Record that an upstream version is valid for a downstream version. A name alone is its latest version, and
    DOWN@any is any version of DOWN.

    \b
    Examples:
      opstore link pca@1.0.0 random_forest@2.0.0
      opstore link pca@1.0.0 random_forest@2.0.0 --evidence "accuracy 0.91, run 4711"
      opstore link pca@1.1.0 random_forest@2.0.0 --invalid
      opstore link tokenizer@1.0.0 random_forest@any

    Name the version that training loaded, because the latest one may have changed since. --invalid records that the
    version is known not to be valid. The newest link between the same two versions applies.
    """
    recorded = session.client().link(upstream, downstream, valid=not invalid, evidence=evidence)
    up, down, sentence = results.format_link(recorded)
    session.out.write_result(recorded, quiet=[f"{up} {down}"], full=[sentence])
