"""The studies' data sets to canonical rows: one pure function `rows(records) -> Loaded` a set, as in the product."""
