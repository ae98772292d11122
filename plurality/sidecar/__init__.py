"""The training job beside the service: votes in, a gated candidate out. Never moves `stable` unless told to."""
