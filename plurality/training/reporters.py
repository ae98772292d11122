"""Where a run reports to besides its own log: the library's own hooks, by name."""

from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK

from plurality.training.errors import TrainingError


def reporters(names: str) -> list[str]:
    """Names with commas between, each known and its package there; `none` is no reporter.

    Raises:
        TrainingError: an unknown name, or what has to be installed.
    """
    chosen = [name.strip() for name in names.split(",") if name.strip() not in {"", "none"}]
    for name in chosen:
        if name not in INTEGRATION_TO_CALLBACK:
            raise TrainingError(f"report_to: {name} is unknown; there are {', '.join(sorted(INTEGRATION_TO_CALLBACK))}")
        try:
            INTEGRATION_TO_CALLBACK[name]()
        except (RuntimeError, ImportError) as error:
            raise TrainingError(f"report_to: {str(error).splitlines()[0]}") from None
    return chosen
