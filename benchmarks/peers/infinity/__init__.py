"""Peer: Infinity, with its torch and its ONNX engine."""
