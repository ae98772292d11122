"""The words of the page that do not depend on figures: what was done, and how the truth is known."""

ABOUT = """\
# A real RLHF run: a policy, TRL, and rewards of the service over HTTP

A tiny policy (a Llama of three layers, 192 wide, 1.7 million weights, made from scratch) learns to answer prompts of
the demo's generator from answers of every quality: right and wrong, kind and rude. Then TRL optimizes it with rewards
that it gets over HTTP from a running `plurality serve` through `plurality_client.trl.reward_function`. The reward
model is the benchmarks': MiniLM, a baseline trained for one epoch on 2,400 generated pairs. All of it runs on a CPU;
`python -m research.rlhf all` makes everything: environment, models, runs, this page.

**The truth is known.** The demo's population has a true utility, so every proxy reward stands beside what these
people really think, by an oracle (`research/rlhf/oracle.py`). It is exact for whatever the generator could have
written: its tests compare it with the generator on each family. A policy can leave that language. Then: each tone
counts once; sentences of substance are averaged; one that is no answer to this prompt has no attribute (so it is not
correct). *exact*, *off-prompt* and *unparsed* below are the shares of texts that needed no rule, that hold a sentence
of another prompt's answers, and that hold words which are no sentence of the generator's; what is left holds known
sentences in a number that the generator never uses. The families `counting` and `sums` are left out, because their
answers are no finite language. The 126 held-out prompts are in no training, neither the policy's nor the reward
model's; four answers are sampled to each at every look, at temperature 1.

The control is the same run with each batch's rewards dealt to its answers by chance: the same rewards, no
information."""

READING = """\
## How to read it
- **Over-optimization** would show as a proxy reward that goes on rising while the true utility stalls or falls, at
  the same KL.
- GRPO: TRL 1.12 `GRPOTrainer`, 8 prompts of 8 answers an update, learning rate 2e-4, β 0.02. PPO:
  `trl.experimental.ppo`, 64 answers an update, two epochs, KL coefficient 0.02. TRL's PPO takes a module that scores
  token ids and no reward function, so `research/rlhf/worker/ppo.py` gives it one that asks the service; TRL 1.12 is
  the last release that has PPO at all, which is why it is pinned. PPO has no word for a missing reward, so there the
  client raises instead of answering None.
- TRL 1.4 counted a completion without a reward as 0 (`nansum`), which is a reward that nobody gave; 1.8 and 1.12
  leave it out of its group.
- The reward model is weak (one epoch) and the policy is small: what is shown is the loop, the control and the gap
  between proxy and truth, not how good any trainer is. The learning rate was chosen on one seed by the held-out
  prompts shown here (1e-4 and 2e-4 for 40 updates; 5e-4 falls apart within twelve), then kept for all runs. Seeds are
  few: the spread between them is in brackets.
- The runs recorded here began as longer ones (150 updates, PPO 90) and were cut by the clock, the machine being busy:
  their files hold the looks up to 90 and 45 updates. The learning rate is constant, so what is shown is what a run of
  that length does, and the lengths of the study are those now; reward model and policy were made by hand with the
  same steps. From nothing, `all` was seen to make environment, models and the first GRPO run, not yet to its end.
- KL is estimated by the held-out answers themselves. For best of n it is log n − (n−1)/n, which holds where no two
  samples are alike and is an upper bound where some are, as here. Best of n is the exact mean over all subsets of n
  of 64 samples a prompt, its interval a bootstrap over prompts (95%). Brackets of the training runs are the least and
  the most of the seeds."""
