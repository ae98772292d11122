"""From preference pairs to a reward-model checkpoint.

    load.py        canonical rows (`plurality.core.rows`) from JSONL and Parquet, every bad row named
    loaders/       public and local data sets -> rows; split.py: by prompt and group, duplicates, leaks
    judge/         a language model as judge of pairs
    margins.py     votes -> margin (arXiv 2412.03822, eq. 3); targets.py: a row's q, margin and weight by objective
    objectives.py  the pairwise loss family (eq. 1 and 4)
    more.py        MORE (arXiv 2312.07401): head.py its gradients, simplex.py the exact weights, sampling.py the batches
    dataset.py     rows -> token ids, through the service's own tokenizer
    trainer.py     transformers.Trainer with that loss; train.py: one training run, start to end; plots.py: its curves
    lora.py        low-rank adapters, merged in the end; freeze.py: layers that keep their weights
    validation.py  held-out figures, of all and by source; reporters.py: where they go; processes.py: who speaks

`load`, `margins` and `targets` work without torch.
"""
