"""From other people's data sets to canonical rows, with every dropped pair counted.

    records of a set ──rows()──▶ Loaded(rows, dropped, notes) ──prepare()──▶ train / validation / test JSONL + card.json

One file per set holds one pure function, `rows(records) -> Loaded`; `registry` names the sets, what each needs and
under which license it is; `hub` and `files` fetch records; `prepare` removes duplicates and leaks, splits by prompt
and writes.
"""

from plurality.training.loaders.collect import Loaded, Record

__all__ = ["Loaded", "Record"]
