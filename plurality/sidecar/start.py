"""Builds a sidecar from its configuration file and runs it."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from plurality.sidecar.config import read_config
from plurality.sidecar.loop import Sidecar
from plurality.sidecar.telemetry import Telemetry
from plurality.sidecar.votes import open_votes
from plurality.training.errors import TrainingError


def start(path: Path, *, once: bool, experiment: str | None, say: Callable[[str], None]) -> None:
    """Run the sidecar that a file describes, as a daemon, or (`once`) until nothing is due.

    Args:
        experiment: name of the experiment whose decision may move `stable`.

    Raises:
        TrainingError: the file is wrong, or another sidecar has this model.
        PluralityError: the database or the store cannot be used.
    """
    config = read_config(path)
    if experiment and not config.service:
        raise TrainingError(f"--promote-after-experiment asks a service: set `service` in {path.name}")
    telemetry = Telemetry()
    if config.metrics_port:
        telemetry.serve(config.metrics_port)
    with closing(open_votes(config.feedback, config.name)) as votes:
        Sidecar(config, votes, telemetry, say, experiment).run(once=once)
