"""docs/results/studies/: what was run, what came out, with intervals, and the command of each page."""
