"""What an experiment is, and how one is read: closed records, and errors that name the key."""

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator

from plurality.core.errors import ConfigurationError
from service.bundle.manifest import made_at
from service.domain import ModelName
from service.experiments.verdict import Criterion

MAX_ARMS = 8
"""Arms are labels of metrics, and these are bounded."""
MAX_FILE_BYTES = 2**20
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,31}$")]
Which = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Arm(_Closed):
    """One version of the experiment's model."""

    name: Name
    version: Which
    """An alias, or 8 or more digits of a digest."""
    weight: int = Field(default=0, ge=0, le=10_000)
    """Share of the units, relative to the other arms'. 0: by override only."""
    shadow: bool = False
    """Scores what others have answered, where there is room; nobody is answered by it unless they name it."""


class Experiment(_Closed):
    """Versions of one model, compared on live traffic."""

    name: Name
    model: ModelName
    control: Name
    """The arm that serves whenever another cannot."""
    arms: Annotated[tuple[Arm, ...], Field(min_length=2, max_length=MAX_ARMS, strict=False)]
    alpha: float = Field(default=0.05, gt=0, lt=1)
    """Chance that the report ever calls equal versions different."""
    min_votes: int = Field(default=200, ge=1)
    """Below so many votes the verdict is to hold."""
    criterion: Criterion = "accuracy"
    """What decides: accuracy, or the Brier score, which sees calibration too."""
    tolerance: float = Field(default=0.0, ge=0, le=1)
    """Loss of the criterion that is accepted: 0 asks for a gain, 0.01 of accuracy for a loss of less than a point."""
    votes_per_prompt: int = Field(default=1, ge=1)
    """A prompt counts once it has so many votes, with their mean: the size of the panel where one votes."""
    slowdown: float = Field(default=1.5, ge=1)
    """How many times the control's p95 latency an arm's may be to be promoted."""
    overrides: bool = True
    """Whether a request may name its arm."""
    since: Annotated[AwareDatetime | None, Field(strict=False)] = None
    """Votes from then on count; by default those since the youngest version was made: none was trained on them."""
    fresh_prompts: bool = True
    """Leave out votes on prompts that were voted on before: a version may have been trained on those. False where no
    version learned from votes, and where the same prompts are judged again and again."""
    running: bool = True
    """False: kept and reported on, but no request takes part."""

    @property
    def control_arm(self) -> Arm:
        return self.arm(self.control)

    @property
    def shadows(self) -> tuple[Arm, ...]:
        return tuple(arm for arm in self.arms if arm.shadow)

    def arm(self, name: str) -> Arm:
        """Raises KeyError where there is none of that name."""
        for arm in self.arms:
            if arm.name == name:
                return arm
        raise KeyError(name)

    def selector(self, arm: Arm) -> str:
        """What the model repository knows the arm's version by."""
        return f"{self.model}@{arm.version}"

    @model_validator(mode="after")
    def _consistent(self) -> "Experiment":
        names = [arm.name for arm in self.arms]
        if len(set(names)) < len(names):
            raise ValueError("arms: two have the same name")
        if self.control not in names:
            raise ValueError(f"control: no arm of this name; arms: {', '.join(names)}")
        if self.control_arm.shadow:
            raise ValueError("control: a shadow arm answers nobody; choose another")
        if any(arm.weight for arm in self.shadows):
            raise ValueError("arms: a shadow arm answers nobody: leave its weight out")
        if not any(arm.weight for arm in self.arms):
            raise ValueError("arms: all weights are 0")
        return self


def parse_experiment(raw: object, *, place: str = "") -> Experiment:
    """One definition from plain values.

    Args:
        place: where it stands, for the error: `experiments[0]`.

    Raises:
        ConfigurationError: names the first wrong key; never the value.
    """
    try:
        return Experiment.model_validate(raw)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        known = {*Experiment.model_fields, *Arm.model_fields}
        parts = [part for part in first["loc"] if isinstance(part, int) or part in known]
        path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)
        key = f"{place}{path}".lstrip(".")
        message = "an unknown key is present" if first["type"] == "extra_forbidden" else first["msg"]
        message = message.removeprefix("Value error, ")
        raise ConfigurationError(f"{key}: {message}" if key else message, param=key or None) from None


def read_file(path: Path) -> tuple[Experiment, ...]:
    """The definitions of a YAML file: {experiments: [...]}.

    Raises:
        ConfigurationError: unreadable, too large, not YAML, a key given twice, a wrong definition, two of one name, or
            two that run on one model.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise _wrong(path, error.strerror or "cannot be read") from None
    if len(data) > MAX_FILE_BYTES:
        raise _wrong(path, f"is larger than {MAX_FILE_BYTES} bytes")
    try:
        raw = yaml.load(data, Loader=_Loader)  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f" in line {mark.line + 1}" if mark else ""
        raise _wrong(path, f"is not YAML{line}: {getattr(error, 'problem', None) or 'nested too deeply'}") from None
    if raw is None:
        return ()
    if not isinstance(raw, dict) or set(raw) != {"experiments"} or not isinstance(raw["experiments"], list):
        raise _wrong(path, "has one key at the top, `experiments`, with a list of definitions")
    found = tuple(_placed(path, entry, place) for place, entry in enumerate(raw["experiments"]))
    _check_apart(path, found)
    return found


def _placed(path: Path, raw: object, place: int) -> Experiment:
    try:
        return parse_experiment(raw, place=f"experiments[{place}]")
    except ConfigurationError as error:
        raise _wrong(path, error.message) from None


def _check_apart(path: Path, found: tuple[Experiment, ...]) -> None:
    names = [entry.name for entry in found]
    models = [entry.model for entry in found if entry.running]
    for what, values in (("experiments have the name", names), ("running experiments are of the model", models)):
        for value in values:
            if values.count(value) > 1:
                raise _wrong(path, f"two {what} {value}")


def _wrong(path: Path, what: str) -> ConfigurationError:
    return ConfigurationError(f"experiments.file: {path.name}: {what}", param="experiments.file")


class _Loader(yaml.SafeLoader):
    """Refuses a key that is given twice: YAML itself would drop the first in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        if any(isinstance(key, list | dict) for key in keys):
            raise yaml.constructor.ConstructorError(None, None, "a key is not a word", node.start_mark)
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"the key {key} is given twice", node.start_mark)
        return super().construct_mapping(node, deep)


def as_plain(experiment: Experiment) -> Mapping[str, Any]:
    """Plain JSON values that `parse_experiment` reads back."""
    plain: dict[str, Any] = experiment.model_dump(mode="json")
    return plain


def since_of(experiment: Experiment, made: Mapping[str, str]) -> float:
    """From when votes count, in seconds since the epoch.

    Args:
        made: when each compared version was made, ISO 8601, by digest. One that is no time decides nothing: the
            report then asks for `since`.
    """
    if experiment.since is not None:
        return experiment.since.timestamp()
    moments = (made_at(text) for text in made.values())
    return max((moment for moment in moments if moment is not None), default=0.0)
