"""The training half, in an environment of its own: `python -m research.rlhf.worker.<name>`; it knows HTTP alone."""
