"""`plurality demo`."""

from pathlib import Path
from typing import Annotated

import typer


def demo(
    directory: Annotated[Path, typer.Option(help="Where data, checkpoints, store and report go.")] = Path(".demo"),
    seed: Annotated[int, typer.Option(help="Another seed is another world: use another directory.")] = 0,
) -> None:
    """Everything once, on generated data: about five minutes on two cores, no GPU, no network.

    Simulates a population that disagrees in known ways, trains a baseline and a margin model on its judgements,
    exports and calibrates both, compares them on held-out pairs where the truth is known, serves them and asks over
    HTTP. A second run keeps what the first one finished.
    """
    from plurality.synthetic.run import run_demo

    run_demo(directory, seed=seed, say=typer.echo)
