"""A real RLHF run: a tiny policy, TRL's trainers, a running service's rewards over HTTP, and the true utility beside.

The orchestrating half (this folder) runs in the project's environment: it trains and serves the reward model, makes the
prompts, asks for best-of-n and draws the page. `worker/` runs in an environment of its own (requirements.txt) and knows
the service only through `plurality_client`, as a user's training loop does.
"""
