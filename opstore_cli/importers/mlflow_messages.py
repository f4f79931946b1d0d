"""What `opstore import mlflow` and the program that reads the registry send each other: one line of JSON each."""

import msgspec

FILES = "files"  # in the folder for downloads: the files that are being downloaded


class Message(msgspec.Struct, frozen=True, kw_only=True, tag_field="message", tag=str.lower):
    """One line."""


# --- requests ---------------------------------------------------------------------------------------------------------


class ListModels(Message, frozen=True, kw_only=True):
    """List the names of the models. The response is `Models`."""


class ReadModel(Message, frozen=True, kw_only=True):
    """Read a model with its versions. The response is `Model`."""

    model: str


class ReadMetrics(Message, frozen=True, kw_only=True):
    """Read the latest metrics of a run. The response is `Metrics`."""

    model: str
    run: str


class Download(Message, frozen=True, kw_only=True):
    """Download the files of a version into `FILES`. The response is `Downloaded`."""

    model: str
    number: int


Request = ListModels | ReadModel | ReadMetrics | Download

# --- responses --------------------------------------------------------------------------------------------------------


class Models(Message, frozen=True, kw_only=True):
    """The names of all models."""

    names: tuple[str, ...]


class ModelVersion(msgspec.Struct, frozen=True, kw_only=True):
    """A version of a model. `created` is in milliseconds since 1970; `run` and `stage` are empty if there is none."""

    number: int
    created: int
    status: str = "READY"
    description: str = ""
    run: str = ""
    stage: str = ""
    tags: dict[str, str] = {}


class Model(Message, frozen=True, kw_only=True):
    """A model; `versions` are in the order of their numbers, and `aliases` have the number of a version by name."""

    description: str = ""
    aliases: dict[str, int] = {}
    versions: tuple[ModelVersion, ...] = ()


class Metrics(Message, frozen=True, kw_only=True):
    """The latest value of each metric of a run, as text: JSON has no infinity."""

    values: dict[str, str]


class Downloaded(Message, frozen=True, kw_only=True):
    """The files of a version are at this path, or they are gone (None)."""

    path: str | None


class Failed(Message, frozen=True, kw_only=True):
    """The request failed, although the registry can be read."""

    reason: str


class RegistryFailed(Message, frozen=True, kw_only=True):
    """The registry can't be read, so that further requests would fail as well."""

    reason: str


class LibraryFailed(Message, frozen=True, kw_only=True):
    """MLflow can't be imported."""

    reason: str


Response = Models | Model | Metrics | Downloaded | Failed | RegistryFailed | LibraryFailed
