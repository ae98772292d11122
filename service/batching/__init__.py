"""Dynamic batching: `policy` decides over plain data, `batcher` acts. The invariants I1-I9 are in docs/architecture."""
