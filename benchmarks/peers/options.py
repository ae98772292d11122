"""The command line that every peer's server takes."""

import argparse
from pathlib import Path

HOST = "127.0.0.1"


class Options(argparse.Namespace):
    """What a server was started with."""

    checkpoint: Path
    onnx: Path
    port: int
    threads: int
    engine: str


def parse(description: str | None) -> Options:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--checkpoint", type=Path, required=True, help="folder of weights, configuration, tokenizer")
    parser.add_argument("--onnx", type=Path, required=True, help="the same model as an ONNX file")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True, help="of the engine")
    parser.add_argument("--engine", default="", help="for a peer that has several")
    return parser.parse_args(namespace=Options())
