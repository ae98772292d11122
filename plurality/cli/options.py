"""Options that several verbs share, so that they read and mean the same everywhere."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

Store = Annotated[Path, typer.Option(help="Model store: <store>/<model>/versions/<digest>/.", envvar="PLURALITY_STORE")]
Name = Annotated[str, typer.Option(help="Model name: lower case, digits, . _ - (at most 64).")]


class PrecisionOption(StrEnum):
    """Precisions that can be exported."""

    fp32 = "fp32"
    fp16 = "fp16"
    int8 = "int8"


class DeviceOption(StrEnum):
    """Where a model runs."""

    cpu = "cpu"
    cuda = "cuda"
    tensorrt = "tensorrt"


Precisions = Annotated[
    list[PrecisionOption],
    typer.Option(
        "--precision",
        help="Give it once for each: the first gets the alias, every other one its own name as alias. "
        "int8 is for CPUs (about 1.6 times as fast), fp16 for GPUs; each is refused where it does not rank alike.",
    ),
]
