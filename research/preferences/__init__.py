"""Studies on real preference data: what margins, soft labels, MORE, size and calibration do, with their controls.

    gold         one voter's label, the others' margin (UKPConvArg1), debates held out
    silver       LLM judges' labels and margins, people's votes out of domain
    sources      MORE, mixing, and mixing with temperatures, on five sources
    scaling      layers x pairs
    calibration  what post-hoc calibration does in and out of domain (from the runs of gold, silver and sources)
    selection    whether calibration error foretells the true gain of best of n (from the runs of gold and scaling)

python -m research.preferences NAME makes the runs that are missing and the page. What is trained and what is not:
`corpus.py` caches the frozen lower layers' activations of each distinct text, `top.py` is the rest of the model,
`fit.py` trains it with the product's own loss code. `store.py` keeps runs, `figures.py` judges them.
"""
