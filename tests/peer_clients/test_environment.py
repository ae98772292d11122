"""What the clients' environments are built from, and when one counts as built."""

import re
from pathlib import Path

from tests.peer_clients.environment import built, names

_LOCKS = Path(__file__).parent / "environments"
_CLIENTS = {
    "kserve": ["kserve"],
    "pytriton": ["nvidia-pytriton"],
    "sdk": [
        "cohere", "huggingface_hub", "infinity_client", "llama-index-postprocessor-jinaai-rerank", "openai",
        "tritonclient",
    ],
    "trainers": ["llamafactory", "openrlhf", "verl"],
}  # fmt: skip


def test_every_line_is_a_pin() -> None:
    """A lock without ranges, places or options: what was tested is what is named in the docs."""
    for name in names():
        for line in (_LOCKS / name / "requirements.txt").read_text(encoding="utf-8").splitlines():
            assert re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", line), (name, line)


def test_docs_name_the_versions() -> None:
    """The table of the guide and the locks say the same."""
    table = (Path(__file__).parents[2] / "docs" / "guides" / "clients.md").read_text(encoding="utf-8")
    assert set(_CLIENTS) == set(names())
    for name, clients in _CLIENTS.items():
        lines = (_LOCKS / name / "requirements.txt").read_text(encoding="utf-8").splitlines()
        versions = dict(line.split("==") for line in lines)
        for client in clients:
            assert f"| {versions[client]} |" in table, client


def test_an_absent_environment_is_not_built(tmp_path: Path) -> None:
    """Neither is one without its stamp: its installation was interrupted."""
    assert built("sdk", tmp_path) is None
    (tmp_path / "sdk" / "bin").mkdir(parents=True)
    (tmp_path / "sdk" / "bin" / "python").touch()
    assert built("sdk", tmp_path) is None
    (tmp_path / "sdk" / "requirements.sha256").write_text("of other requirements", encoding="utf-8")
    assert built("sdk", tmp_path) is None
