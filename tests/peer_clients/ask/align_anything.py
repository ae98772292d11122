"""align-anything's `RemoteRewardModel`, out of a checkout: the package of that name on PyPI is empty."""

import importlib.util
from pathlib import Path

from tests.peer_clients.ask.questions import asked, say


def main() -> None:
    """One request with all samples."""
    questions = asked()
    assert questions.sources is not None
    file = Path(questions.sources) / "align-anything/align_anything/models/remote_rm/remote_rm_client.py"
    spec = importlib.util.spec_from_file_location("remote_rm_client", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    model = module.RemoteRewardModel(questions.url + "/get_reward")
    say(rewards=model.score(questions.prompts, questions.responses).tolist())


if __name__ == "__main__":
    main()
