"""What users may rely on (docs/references.md, docs/rules.md): scenarios over the verbs, one suite for all transports.

A scenario is a function of a `Scene`. test_scenarios.py runs each one on the store in process and on clients, so that
store and client cannot drift apart.
"""

from tests.scenarios import (
    atomic,
    bisections,
    edits,
    exact_sets,
    links,
    patches,
    pipelines,
    pushes,
    references,
    removals,
    resolutions,
    runs,
    selections,
    set_histories,
    suggestions,
    tags,
    verdicts,
    yanks,
)
from tests.scenarios.scene import Scenario, Scene

__all__ = ["EVERY_SCENARIO", "Scenario", "Scene"]

EVERY_SCENARIO: list[Scenario] = [
    scenario
    for module in (
        pushes,
        patches,
        references,
        links,
        verdicts,
        pipelines,
        selections,
        atomic,
        tags,
        edits,
        yanks,
        removals,
        resolutions,
        runs,
        set_histories,
        exact_sets,
        bisections,
        suggestions,
    )
    for scenario in module.SCENARIOS
]
