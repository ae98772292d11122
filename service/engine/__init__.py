"""From encodings to logits: the runtime behind the protocol `Backend`, what it costs on this machine, batching, and
the process that all of it runs in.

`policy` decides over plain data, `batcher` acts; their invariants I1-I9 are in docs/architecture/02-batching.md.
"""
