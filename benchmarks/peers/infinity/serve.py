"""Lay out a model folder as Infinity wants it, then become Infinity."""

import os
import sys
from pathlib import Path

from benchmarks.peers.options import HOST, Options, parse

_TEXTS = ("config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt")


def main() -> None:
    """Replace this process by Infinity's own command."""
    options = parse(__doc__)
    # Infinity passes a file's path on to optimum, which wants a bare name: only a model in the working folder has both.
    os.chdir(onnx_folder(options) if options.engine == "optimum" else options.checkpoint)
    os.environ.update(
        OMP_NUM_THREADS=str(options.threads),
        DO_NOT_TRACK="1",
        INFINITY_ANONYMOUS_USAGE_STATS="0",
        INFINITY_ONNX_DISABLE_OPTIMIZE="true",  # the file is fused already
    )
    os.environ.pop("PYTHONPATH", None)  # our packages are none of its business
    program = str(Path(sys.executable).parent / "infinity_emb")
    os.execv(program, [program, *arguments(options)])  # noqa: S606 - the environment's own program


def onnx_folder(options: Options) -> Path:
    """Links to tokenizer, configuration and `model.onnx` in one folder, beside the ONNX file."""
    folder = options.onnx.parent / "infinity"
    folder.mkdir(exist_ok=True)
    sources = [options.checkpoint / name for name in _TEXTS]
    links = {source.name: source for source in sources if source.exists()} | {"model.onnx": options.onnx}
    for name, source in links.items():
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(source)
    return folder


def arguments(options: Options) -> list[str]:
    """Infinity's command line.

    Its warm-up, of batches of 32 texts of 512 tokens, is off: the benchmark warms every peer up alike.
    """
    return [
        *("v2", "--model-id", ".", "--served-model-name", "reward", "--engine", options.engine, "--device", "cpu"),
        *(
            "--dtype",
            "float32",
            "--no-compile",
            "--no-bettertransformer",
            "--no-model-warmup",
            "--no-trust-remote-code",
        ),
        *("--host", HOST, "--port", str(options.port), "--log-level", "warning"),
    ]


if __name__ == "__main__":
    main()
