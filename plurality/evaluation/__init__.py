"""The papers' protocols on models: how well a version predicts people, as tables, plots and a report.

    evaluate    predictions of a bundle, and the scores that the demo prints
    votes       annotators' answers from a CSV (arXiv 2412.03822, appendix)
    sample      rows as arrays, and the slices that the tables have a line for
    figures     every statistic of a slice, with intervals over whole prompts
    compare     two predictors on the same pairs
    selection   best of n
    baselines   predictors that do not read the answers
    tables      all of it as records; `text`, `plots` and `report` show them
    run         from names and files to results

Pure but for `evaluate` and `run`, which load models, and `plots` and `report`, which write files.
"""
