"""How many random examples a test takes: a twentieth, always the same, in `make test`; all in `make test-all`."""

from hypothesis import HealthCheck, settings

QUICK, ALL = "quick", "all"

# No deadline and no check of the generation time: both depend on the load of the machine.
# `make test` decides on a change, so its examples are the same in every run; `make test-all` looks for new ones.
settings.register_profile(
    QUICK,
    max_examples=50,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    print_blob=True,
)
settings.register_profile(ALL, settings.get_profile(QUICK), max_examples=1000, derandomize=False)


def is_all() -> bool:
    """Return whether this is `make test-all`."""
    return settings().max_examples >= settings.get_profile(ALL).max_examples


def scaled(count: int) -> int:
    """Return `count` in `make test-all` (`--hypothesis-profile all`), else a twentieth of it."""
    return max(count * settings().max_examples // settings.get_profile(ALL).max_examples, 1)


def examples(count: int, *suppressed: HealthCheck) -> settings:
    """Return the settings for a test that takes `count` examples in `make test-all`."""
    return settings(max_examples=scaled(count), suppress_health_check=[*settings().suppress_health_check, *suppressed])
