"""A reward function for TRL's GRPO, RLOO and asynchronous GRPO trainers.

    from plurality_client.trl import reward_function

    trainer = GRPOTrainer(..., reward_funcs=reward_function("http://127.0.0.1:8080"))   # RLOOTrainer alike

TRL runs coroutine functions at once and pickles them into workers: a `functools.partial` of a module-level coroutine
function is both. Connections live on a loop of the client's own, so any loop may await it.
"""

import asyncio
import functools
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Unpack

from plurality_client.chat import to_item
from plurality_client.errors import InvalidRequest, ItemFailed
from plurality_client.options import Behavior, OnFailure, Settings, make_options
from plurality_client.records import Failure, Item, Scores
from plurality_client.shared import shared_client

Reward = Callable[..., Coroutine[Any, Any, list[float | None]]]
_SHORT = 12
"""Digits of a digest in the completions table."""


def reward_function(url: str, model: str | None = None, **settings: Unpack[Behavior]) -> Reward:
    """The function to give to TRL as one of `reward_funcs`.

    Args:
        url: the service, `http://host:port`.
        model: `name`, `name@alias` or `name@digest`. Each process pins the first version that answers it; name a digest
            to bind all ranks to the same one from the start.
        settings: those of Client. `on_failure` is "none" here unless given: what could not be scored is None, which TRL
            leaves out of the group; where nothing at all could be scored the error is raised.

    Raises:
        ValueError: a setting that cannot work.
    """
    chosen: Settings = {**settings, "model": model}
    chosen.setdefault("on_failure", "none")
    make_options(url, chosen)
    return functools.partial(plurality_reward, url=url, settings=chosen)


async def plurality_reward(
    prompts: Sequence[Any],
    completions: Sequence[Any],
    completion_ids: Any = None,
    *,
    url: str,
    settings: Settings,
    log_metric: Callable[[str, float], None] | None = None,
    log_extra: Callable[[str, list[Any]], None] | None = None,
    trainer_state: Any = None,
    **columns: Any,
) -> list[float | None]:
    """One reward a completion, in order, as TRL asks for it; None for what could not be scored.

    Args:
        prompts: texts, or conversations, one a completion.
        completions: texts, or lists of messages.
        completion_ids: not used, like `trainer_state` and `columns` (the dataset's own).
        log_metric: gets the shares that were truncated and that failed, and the version's sequence number.
        log_extra: gets the version, one entry a completion.

    Raises:
        PluralityClientError: see `reward_function`; VersionChanged always.
    """
    del completion_ids, trainer_state, columns
    on_failure = settings.get("on_failure", "none")
    items = [_item(*pair, on_failure) for pair in zip(prompts, completions, strict=True)]
    places = [place for place, item in enumerate(items) if item is not None]
    client = shared_client(url, settings)
    scores = await asyncio.wrap_future(client.submit_score([item for item in items if item is not None]))
    if items and scores.model is None:
        raise _nothing_scored(places, scores)
    rewards: list[float | None] = [None] * len(items)
    for place, reward in zip(places, scores.rewards, strict=True):
        rewards[place] = reward
    _log(scores, rewards, log_metric, log_extra)
    return rewards


def _item(prompt: Any, completion: Any, on_failure: OnFailure) -> Item | None:
    """The item, or None for what the service has no form for."""
    try:
        return to_item(prompt, completion)
    except InvalidRequest:
        if on_failure == "raise":
            raise
        return None


def _nothing_scored(places: Sequence[int], scores: Scores) -> ItemFailed:
    """An outage, or a mistake in the set-up: a step of None alone would train on nothing, silently."""
    why = scores.failures.get(0, Failure(InvalidRequest.code, "the service has no form for any of them"))
    text = f"not one completion could be scored; the first: {why.message}"
    return ItemFailed(text, index=places[0] if places else 0, code=why.code)


def _log(
    scores: Scores,
    rewards: Sequence[float | None],
    log_metric: Callable[[str, float], None] | None,
    log_extra: Callable[[str, list[Any]], None] | None,
) -> None:
    """Every rank logs the same names, whatever happened: TRL gathers them across ranks."""
    count = max(1, len(rewards))
    if log_metric:
        log_metric("plurality/truncated_share", scores.truncated / count)
        log_metric("plurality/failed_share", rewards.count(None) / count)
        log_metric("plurality/version_sequence", float(scores.model.sequence if scores.model else -1))
    if log_extra:
        version = scores.model.version[:_SHORT] if scores.model else ""
        log_extra("plurality_version", [version] * len(rewards))
