"""What a user may rely on (CONTRACT sections 2 to 4), as scenarios over the verbs: one suite, several transports.

A scenario is a function of a `Scene`; test_scenarios.py runs each on the store in process and on the client against
a listening daemon, so that neither can drift from the other.
"""

from tests.scenarios import (
    atomic,
    links,
    mistyped,
    patches,
    pipelines,
    pushes,
    references,
    resolutions,
    selections,
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
        yanks,
        resolutions,
        mistyped,
    )
    for scenario in module.SCENARIOS
]
