"""Peer: onnxruntime behind FastAPI, batched with care."""
