"""Peer: onnxruntime behind LitServe."""
