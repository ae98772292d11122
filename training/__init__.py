"""From preference pairs to a reward-model checkpoint.

    rows.py        the canonical row; load.py: JSONL and Parquet, every bad row named
    margins.py     votes -> margin (arXiv 2412.03822, eq. 3)
    objectives.py  the pairwise loss family (eq. 1 and 4)
    dataset.py     rows -> token ids, through the service's own tokeniser
    trainer.py     transformers.Trainer with that loss; train.py: one training run, start to end

`rows`, `load` and `margins` work without torch.
"""
