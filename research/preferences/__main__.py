"""python -m research.preferences NAME ...: studies on real preference data, each from one command.

  gold         one voter's label, the other voters' margin; debates held out; bt, margins, soft, mix     (a)
  silver       LLM judges' labels and margins in training, people's votes in the test                   (b)
  sources      MORE against mixing, both with and without temperatures, on five sources                 (c)
  scaling      2, 4 and 6 layers on 94 to 3,000 pairs, with fitted power laws                          (d)
  calibration  what calibration does to ECE in and out of domain; from the runs of gold, silver, sources (e)
  selection    ECE against the true gain of best of n; from the runs of gold and scaling                (f)
  all          all of them

The environment variable PREFERENCE_DATA names the folder with the data sets; without it nothing is run. Each study
trains what is missing (a finished run is kept in --work with its settings, seconds and held-out rewards, and is made
again only if its settings change), then writes docs/results/studies/NAME.md with its plots. Stop it whenever you like:
the next call goes on. Nothing of the texts leaves --work.
"""

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from transformers.utils import logging

from research.preferences import data
from research.preferences.pages import calibration, gold, scaling, selection, silver, sources
from research.preferences.store import WORK

STUDIES: Mapping[str, Callable[[Path], None]] = {
    "gold": gold.write,
    "silver": silver.write,
    "sources": sources.write,
    "scaling": scaling.write,
    "calibration": calibration.write,
    "selection": selection.write,
}


def main() -> None:
    """Run studies."""
    parser = argparse.ArgumentParser(
        prog="python -m research.preferences", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("studies", nargs="+", choices=[*STUDIES, "all"], metavar="NAME", help="see above")
    parser.add_argument("--work", type=Path, default=WORK, help="runs and cached activations, kept (%(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="of torch (%(default)s)")
    options = parser.parse_args()
    try:
        data.root()
    except data.NoData as problem:
        parser.exit(2, f"{problem}\n")
    torch.set_num_threads(options.threads)
    logging.set_verbosity_error()
    for name, write in STUDIES.items():
        if name in options.studies or "all" in options.studies:
            write(options.work)


if __name__ == "__main__":
    main()
