"""What a feedback store promises, whatever database is behind it. Each database's test module inherits these."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine, text

from plurality.core.errors import ConfigurationError
from plurality.core.pairs import ResponsePair
from service.domain import Message
from service.errors import FeedbackConflict
from service.feedback.database import FeedbackStore
from service.feedback.records import Prediction, ScoredPair, Vote

Fresh = Callable[[], str]
"""The URL of an empty database."""
PAIR = ResponsePair("Name a prime number above ten.", "Eleven.", "Twelve.")
DIGEST = "d" * 64
SAID = Prediction(1.25, -0.5, 0.8)
TEXTS = st.text(max_size=40) | st.just("\x00") | st.just("a\x00b\\u0000'\"%s")
PROMPTS = TEXTS | st.lists(
    st.builds(Message, st.sampled_from(["system", "user", "assistant"]), TEXTS), min_size=1, max_size=3
).map(tuple)
KEYS = st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True)
FLOATS = st.floats(allow_nan=False, allow_infinity=False, width=64)
VOTES = st.builds(
    Vote, id=KEYS, pair=st.builds(ResponsePair, PROMPTS, TEXTS, TEXTS), share_a=st.floats(0, 1), voter=KEYS,
    model=KEYS, created=st.floats(0, 1e12), graded=st.booleans(), category=st.none() | TEXTS,
    source=st.none() | TEXTS, request_id=st.none() | KEYS, experiment=st.none() | KEYS, arm=st.none() | KEYS,
)  # fmt: skip
PAIRS = st.builds(
    ScoredPair, request_id=KEYS, index=st.integers(0, 255), pair=st.builds(ResponsePair, PROMPTS, TEXTS, TEXTS),
    model=KEYS, digest=KEYS, prediction=st.builds(Prediction, FLOATS, FLOATS, st.floats(0, 1)),
    created=st.floats(0, 1e12), source=st.none() | TEXTS, experiment=st.none() | KEYS, arm=st.none() | KEYS,
)  # fmt: skip
many = settings(
    max_examples=25,
    # A story is run by each database's class, in one session or another.
    suppress_health_check=[HealthCheck.differing_executors],
)


def vote(number: int = 0, **changes: object) -> Vote:
    """The vote of this number: all are different, each a second after the one before."""
    made = Vote(f"v{number}", PAIR, 1.0, f"voter-{number}", "tiny", 1000.0 + number)
    return replace(made, **changes)  # type: ignore[arg-type]


@contextmanager
def opened(url: str) -> Iterator[FeedbackStore]:
    """A store, closed at the end."""
    store = FeedbackStore(url)
    try:
        store.open()
        yield store
    finally:
        store.close()


def at_once(count: int, work: Callable[[int], object]) -> list[object]:
    """What each of so many threads returns, all let go at the same moment."""
    gate = threading.Barrier(count)

    def run(number: int) -> object:
        gate.wait()
        return work(number)

    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(run, range(count)))


class StoreStories:
    """Needs a fixture `fresh` of session or module scope."""

    @many
    @given(data=st.data())
    def test_votes_come_back_as_they_were(self, shared: FeedbackStore, data: st.DataObject) -> None:
        """Any Unicode, NUL included; every float to its last bit."""
        given_votes = data.draw(st.lists(VOTES, max_size=5, unique_by=lambda v: v.id))
        for known in shared.get([v.id for v in given_votes]).values():
            shared.delete_voter(known.voter)
        assert shared.add(given_votes) == ["stored"] * len(given_votes)
        assert shared.get([v.id for v in given_votes]) == {v.id: v for v in given_votes}
        assert shared.add(given_votes) == ["known"] * len(given_votes)
        for one in given_votes:
            shared.delete_voter(one.voter)

    @many
    @given(pair=PAIRS, later=PAIRS)
    def test_remembered_pairs_come_back_as_they_were(
        self, shared: FeedbackStore, pair: ScoredPair, later: ScoredPair
    ) -> None:
        """A request id that is used again stands for the later reply."""
        shared.remember([pair])
        assert shared.find(pair.request_id, pair.index) == pair
        later = replace(later, request_id=pair.request_id, index=pair.index)
        shared.remember([later])
        assert shared.find(pair.request_id, pair.index) == later

    def test_pairs_are_forgotten_by_age(self, fresh: Fresh) -> None:
        """What is older goes, the rest stays."""
        with opened(fresh()) as store:
            old, new = (ScoredPair("r", i, PAIR, "tiny", DIGEST, SAID, created=float(i)) for i in range(2))
            store.remember([old, new])
            assert store.forget(1.0) == 1
            assert (store.find("r", 0), store.find("r", 1)) == (None, new)

    @pytest.mark.parametrize(
        "changes",
        [{"share_a": 0.5}, {"voter": "another"}, {"pair": replace(PAIR, response_b="13")}, {"model": "other"},
         {"graded": True}, {"category": "c"}, {"source": "s"}, {"request_id": "r"}],
    )  # fmt: skip
    def test_another_vote_under_a_known_id_is_a_conflict(self, fresh: Fresh, changes: dict[str, object]) -> None:
        """And nothing of the request is stored; the server's own time and arm are no difference."""
        with opened(fresh()) as store:
            store.add([vote(1)])
            with pytest.raises(FeedbackConflict) as raised:
                store.add([vote(2), vote(1, **changes)])
            assert raised.value.param == "votes[1].id"
            assert store.count() == 1
            with pytest.raises(FeedbackConflict):
                store.add([vote(3), vote(3, **changes)])
            assert store.add([vote(1, created=9.0, experiment="e", arm="b"), vote(2), vote(2)]) == [
                "known", "stored", "known",
            ]  # fmt: skip

    def test_one_vote_of_many_writers_is_stored_once(self, fresh: Fresh) -> None:
        """Eight connections add the same votes at once: each vote is `stored` to exactly one of them."""
        url, count = fresh(), 8
        given_votes = [vote(number) for number in range(20)]
        with opened(url) as store:
            stores = [FeedbackStore(url) for _ in range(count)]
            try:
                replies = at_once(count, lambda i: stores[i].add(given_votes))
            finally:
                for other in stores:
                    other.close()
            flat = [status for reply in replies for status in reply]  # type: ignore[attr-defined]
            assert flat.count("stored") == len(given_votes)
            assert list(store.votes()) == given_votes

    def test_opening_at_once_makes_one_schema(self, fresh: Fresh) -> None:
        """Replicas that start together on an empty database."""
        url = fresh()
        stores = [FeedbackStore(url) for _ in range(6)]
        try:
            at_once(6, lambda i: stores[i].open())
            assert stores[0].add([vote()]) == ["stored"]
            assert stores[5].count() == 1
        finally:
            for store in stores:
                store.close()

    def test_a_cursor_misses_nothing_while_many_write(self, fresh: Fresh) -> None:
        """A reader that goes on from its cursor sees each vote once, though transactions overlap."""
        url, writers, each = fresh(), 4, 25
        seen: list[str] = []
        done = threading.Event()

        def read() -> None:
            cursor, last = 0, False
            with opened(url) as store:
                while not last:
                    last = done.is_set()
                    until = store.cursor()
                    seen.extend(found.id for found in store.votes(after=cursor, until=until))
                    cursor = until

        def write(writer: int) -> None:
            with opened(url) as store:
                for number in range(each):
                    store.add([vote(number, id=f"{writer}-{number}")])

        with opened(url):
            reader = threading.Thread(target=read)
            reader.start()
            try:
                at_once(writers, write)
            finally:
                done.set()
                reader.join(60)
        assert sorted(seen) == sorted(f"{w}-{n}" for w in range(writers) for n in range(each))

    def test_a_number_is_never_given_twice(self, fresh: Fresh) -> None:
        """The newest vote is deleted: the next one still has a higher number than any cursor that saw it."""
        with opened(fresh()) as store:
            store.add([vote(1), vote(2)])
            cursor = store.cursor()
            assert store.delete_voter("voter-2") == 1
            store.add([vote(3)])
            assert [found.id for found in store.votes(after=cursor)] == ["v3"]

    def test_votes_are_in_order_and_chosen(self, fresh: Fresh) -> None:
        """By (created, id), across pages; by model and cursor."""
        with opened(fresh()) as store:
            late = [vote(n, created=float(n // 3), id=f"w{n:05d}") for n in range(1200)]
            store.add(late[::-1])
            others = [vote(1, model="other"), vote(2, experiment="e")]
            store.add(others)
            assert [v.id for v in store.votes()][:1200] == [v.id for v in late]
            assert list(store.votes(model="other")) == others[:1]
            assert [v.id for v in store.votes(model="tiny")][-2:] == ["w01199", "v2"]
            assert list(store.votes(after=1200)) == others
            assert (store.count(), store.count("other"), store.count(after=1201)) == (1202, 1, 1)

    def test_a_pair_is_the_same_swapped(self, fresh: Fresh) -> None:
        """All its votes are one group, whenever one of them is new."""
        swapped = ResponsePair(PAIR.prompt, PAIR.response_b, PAIR.response_a)
        with opened(fresh()) as store:
            first = [vote(1), vote(2, pair=replace(PAIR, response_b="13"))]
            store.add(first)
            assert sorted(map(len, store.by_pair())) == [1, 1]
            cursor = store.cursor()
            store.add([vote(3, pair=swapped)])
            assert list(store.by_pair(after=cursor)) == [[first[0], vote(3, pair=swapped)]]
            assert list(store.by_pair(after=cursor, until=cursor)) == []
            assert list(store.by_pair("other")) == []

    def test_predictions(self, fresh: Fresh) -> None:
        """What has none is listed, the first of each version stays, what is missing can be seen."""
        said = [replace(SAID, probability=0.1 * i) for i in range(4)]
        with opened(fresh()) as store:
            store.add([vote(number) for number in range(4)])
            assert [v.id for v in store.unpredicted("tiny", "x", limit=3)] == ["v0", "v1", "v2"]
            store.predict("v1", "x", said[0])
            store.predict("v1", "x", said[1])
            store.predict("v1", "y", said[2])
            store.predict("v2", "x", said[3])
            store.predict("gone", "x", said[3])
            assert [v.id for v in store.unpredicted("tiny", "x", since=1001.0)] == ["v3"]
            assert store.unpredicted("other", "x") == []
            both = {entry.vote.id: entry.predictions for entry in store.judged("tiny", ["x", "y"])}
            assert both == {"v0": {}, "v1": {"x": said[0], "y": said[2]}, "v2": {"x": said[3]}, "v3": {}}
            assert [entry.vote for entry in store.judged("tiny", ["x"], since=1002.0)] == [vote(2), vote(3)]
            assert [entry.predictions for entry in store.judged("tiny", [])] == [{}] * 4

    def test_votes_on_prompts_that_were_voted_on_before_can_be_left_out(self, fresh: Fresh) -> None:
        """A version may have been trained on those prompts."""
        with opened(fresh()) as store:
            other = replace(PAIR, prompt="another prompt")
            store.add([vote(1), vote(5), vote(6, pair=other)])
            since = vote(5).created
            assert [entry.vote.id for entry in store.judged("tiny", [], since)] == ["v5", "v6"]
            assert [entry.vote.id for entry in store.judged("tiny", [], since, fresh=True)] == ["v6"]

    def test_a_voter_is_deleted_with_all_that_is_theirs(self, fresh: Fresh) -> None:
        """Votes and predictions go; others' stay; again there is nothing to delete."""
        with opened(fresh()) as store:
            store.add([vote(1), vote(2), vote(3, voter="voter-1")])
            for name in ("v1", "v2", "v3"):
                store.predict(name, DIGEST, SAID)
            assert store.delete_voter("voter-1") == 2
            assert list(store.votes()) == [vote(2)]
            assert store.stats()["predictions"] == 1
            assert store.delete_voter("voter-1") == 0

    def test_stats(self, fresh: Fresh) -> None:
        """Counts by model and kind."""
        with opened(fresh()) as store:
            store.add([vote(1), vote(2, graded=True, share_a=0.7), vote(3, model="other", voter="voter-1")])
            store.remember([ScoredPair("r", 0, PAIR, "tiny", DIGEST, SAID, created=1.0)])
            assert store.stats() == {
                "models": {"other": {"choices": 1, "graded": 0}, "tiny": {"choices": 1, "graded": 1}},
                "voters": 2, "pairs": 1, "predictions": 0, "remembered": 1, "cursor": 3,
            }  # fmt: skip

    def test_it_opens_again_and_refuses_a_newer_schema(self, fresh: Fresh) -> None:
        """Votes outlive the process; a schema of a later release is named, with what to do."""
        url = fresh()
        with opened(url) as store:
            store.add([vote()])
        with opened(url) as store:
            assert store.count() == 1
        self.execute(url, "UPDATE feedback_schema SET version = 2")
        with pytest.raises(ConfigurationError, match=r"has schema 2, this release reads 1: run the release"):
            FeedbackStore(url).open()

    def test_reading_makes_nothing(self, fresh: Fresh) -> None:
        """`create=False` on an empty database is an error, and leaves it empty."""
        url = fresh()
        for _ in range(2):
            with pytest.raises(ConfigurationError, match=r"no such feedback database|holds no feedback"):
                FeedbackStore(url, create=False).open()

    @staticmethod
    def execute(url: str, statement: str) -> Sequence[object]:
        """Run SQL beside the store."""
        engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
        try:
            with engine.begin() as connection:
                result = connection.execute(text(statement))
                return list(result) if result.returns_rows else []
        finally:
            engine.dispose()
