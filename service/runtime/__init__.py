"""Where a batch becomes logits. Everything above sees only the `Backend` protocol."""
