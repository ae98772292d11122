"""LlamaFactory's `get_rewards_from_server`, which PPO calls for `reward_model_type: api`.

The package `llamafactory.train.ppo` is found but not run: it imports the whole trainer, torchaudio included. The module
that is asked, and all that it imports, are the real ones.
"""

import importlib
import importlib.util
import sys

from tests.peer_clients.ask.questions import asked, say


def main() -> None:
    """One request with all texts."""
    package = importlib.util.find_spec("llamafactory.train.ppo")
    assert package is not None
    sys.modules[package.name] = importlib.util.module_from_spec(package)
    server = importlib.import_module("llamafactory.train.ppo.ppo_utils")
    questions = asked()
    say(scores=server.get_rewards_from_server(questions.url + "/v1/score/evaluation", questions.texts))


if __name__ == "__main__":
    main()
