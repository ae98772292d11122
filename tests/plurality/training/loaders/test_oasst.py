"""OASST1: ranked siblings become pairs; deleted, failed, unranked and foreign answers are counted."""

from typing import Any

import pytest

from plurality.training.errors import DataError
from plurality.training.loaders import oasst
from tests.plurality.training.loaders.pairs import outcomes, said


def message(name: str, parent: str | None, *, rank: int | None = None, **changes: Any) -> dict[str, Any]:
    role = "prompter" if name.startswith("q") else "assistant"
    base = {
        "message_id": name, "parent_id": parent, "text": f"text of {name}", "role": role, "lang": "en", "rank": rank,
        "deleted": False, "synthetic": False, "review_result": True, "message_tree_id": "q0",
    }  # fmt: skip
    return base | changes


ROOT = message("q0", None)
TREE = [
    ROOT, message("a1", "q0", rank=1), message("a0", "q0", rank=0), message("a2", "q0", rank=2),
    message("q1", "a0"), message("a3", "q1", rank=1), message("a4", "q1", rank=0),
]  # fmt: skip


def nested(name: str, messages: list[dict[str, Any]]) -> dict[str, Any]:
    """The same messages as a tree, as upstream's files have them."""
    own = next(entry for entry in messages if entry["message_id"] == name)
    replies = [nested(entry["message_id"], messages) for entry in messages if entry["parent_id"] == name]
    return {key: value for key, value in own.items() if value is not None} | {"replies": replies}


def test_ranked_siblings() -> None:
    """Rank 0 is the best: three siblings are three pairs, and deeper ones have the whole path as context."""
    loaded = oasst.rows(TREE)
    assert sorted((sorted(pair), best) for pair, best in outcomes(loaded)) == [
        (["text of a0", "text of a1"], "text of a0"),
        (["text of a0", "text of a2"], "text of a0"),
        (["text of a1", "text of a2"], "text of a1"),
        (["text of a3", "text of a4"], "text of a4"),
    ]
    [deep] = [row for row in loaded.rows if len(said(row)) == 3]
    assert said(deep) == [("user", "text of q0"), ("assistant", "text of a0"), ("user", "text of q1")]
    assert set(loaded.groups.values()) == {"q0"}


def test_trees_and_messages_agree() -> None:
    """Upstream's trees and the hub's flat messages give the same rows."""
    tree = {"message_tree_id": "q0", "tree_state": "ready_for_export", "prompt": nested("q0", TREE)}
    by_id = {row.id: row for row in oasst.rows(TREE).rows}
    assert {row.id: row for row in oasst.rows([tree]).rows} == by_id
    assert {row.id for row in oasst.rows(list(reversed(TREE))).rows} == set(by_id)


def test_rank_ties() -> None:
    """Equal ranks are a tie."""
    loaded = oasst.rows([ROOT, message("a0", "q0", rank=1), message("a1", "q0", rank=1)])
    assert outcomes(loaded) == [(frozenset(("text of a0", "text of a1")), None)]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"deleted": True}, oasst.DELETED),
        ({"review_result": False}, oasst.FAILED),
        ({"rank": None}, oasst.UNRANKED),
        ({"lang": "de"}, "language de was not asked for"),
    ],
)
def test_unusable_answers(changes: dict[str, Any], reason: str) -> None:
    """Each reason has its own count."""
    bad = message("a0", "q0", rank=0) | changes
    loaded = oasst.rows([ROOT, bad, message("a1", "q0", rank=1)], languages=("en",))
    assert (loaded.rows, loaded.dropped) == ([], {reason: 1})


def test_below_a_deleted_message() -> None:
    """What answers a deleted message has no context that can be shown."""
    loaded = oasst.rows([entry | {"deleted": entry["message_id"] == "a0"} for entry in TREE])
    assert loaded.dropped == {oasst.DELETED: 2, oasst.LOST: 1}
    assert len(loaded.rows) == 1


def test_orphans_are_counted() -> None:
    """Answers to a message that is not in the file are counted, and so is what hangs below them."""
    loaded = oasst.rows([entry for entry in TREE if entry["message_id"] != "q0"])
    assert (loaded.rows, loaded.dropped) == ([], {oasst.ORPHANS: 3, oasst.LOST: 1})


def test_all_languages_by_default() -> None:
    """Without a choice of languages all are kept, with the language as category."""
    loaded = oasst.rows([ROOT, message("a0", "q0", rank=0, lang="de"), message("a1", "q0", rank=1, lang="de")])
    assert [row.category for row in loaded.rows] == ["de"]


def test_synthetic_answers_are_kept_and_noted() -> None:
    """People ranked a model's answer like any other."""
    loaded = oasst.rows([ROOT, message("a0", "q0", rank=1, synthetic=True), message("a1", "q0", rank=0)])
    assert (len(loaded.rows), loaded.notes["pairs with a synthetic answer"]) == (1, 1)


def test_single_answers_are_noted() -> None:
    """A message with one answer has no pair."""
    assert oasst.rows([ROOT, message("a0", "q0", rank=0)]).notes == {"messages with a single answer": 1}


def test_deep_trees() -> None:
    """A conversation of a thousand turns needs no recursion."""
    chain = [ROOT]
    for i in range(1, 1000):
        chain.append(message(f"{'a' if i % 2 else 'q'}{i}", chain[-1]["message_id"], rank=0))
    chain += [message("a-x", chain[-2]["message_id"], rank=1)]
    assert len(oasst.rows(chain).rows) == 1


def test_other_schema() -> None:
    """A record that is neither a message nor a tree is named."""
    with pytest.raises(DataError, match="no field prompt"):
        oasst.rows([{"text": "x"}])
