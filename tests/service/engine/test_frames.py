"""Frames: what is packed comes out again, however the stream was cut; what is no frame is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plurality.core.errors import PluralityError
from service.domain import Encoding, Outcome, Reward
from service.engine.frames import (
    FrameReader,
    Kind,
    Submission,
    pack_control,
    pack_numbers,
    pack_results,
    pack_submissions,
    read_control,
    read_numbers,
    read_results,
    read_submissions,
)
from service.errors import DeadlineExceeded, Draining, InferenceFailed, NonFiniteReward, TextQuarantined

NUMBERS = st.integers(0, 2**64 - 1)
IDS = st.integers(0, 2**32 - 1)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
ENCODINGS = st.builds(Encoding, st.lists(IDS, max_size=40).map(tuple), IDS, IDS)
SUBMISSIONS = st.lists(st.builds(Submission, NUMBERS, ENCODINGS, FINITE), max_size=5)
ERRORS = st.builds(
    lambda kind, message: kind(message),
    st.sampled_from([InferenceFailed, NonFiniteReward, DeadlineExceeded, Draining]),
    st.text(max_size=20),
)
RESULTS = st.lists(st.tuples(NUMBERS, st.one_of(st.builds(Reward, FINITE, IDS, IDS), ERRORS)), max_size=5)


def plain(outcome: Outcome) -> object:
    """A value that compares equal for equal outcomes."""
    return (type(outcome), outcome.message) if isinstance(outcome, PluralityError) else outcome


@given(SUBMISSIONS, RESULTS, st.lists(NUMBERS, max_size=5), st.integers(1, 50))
def test_what_is_packed_comes_out(
    items: list[Submission], results: list[tuple[int, Outcome]], numbers: list[int], step: int
) -> None:
    """Three frames in a row, fed in pieces of any size."""
    stream = pack_submissions(items) + pack_results(results) + pack_numbers(numbers) + pack_control({"a": [1, "ü"]})
    reader = FrameReader()
    found: list[object] = []
    for start in range(0, len(stream), step):
        for kind, payload in reader.feed(stream[start : start + step]):
            if kind is Kind.SUBMIT:
                found.append(list(read_submissions(payload)))
            elif kind is Kind.RESULTS:
                found.append([(number, plain(outcome)) for number, outcome in read_results(payload)])
            elif kind is Kind.CANCEL:
                found.append(read_numbers(payload))
            else:
                found.append(read_control(payload))
    assert found == [items, [(number, plain(outcome)) for number, outcome in results], tuple(numbers), {"a": [1, "ü"]}]


def test_an_error_that_engines_do_not_know_is_an_engine_failure() -> None:
    """Its message is kept."""
    frames = FrameReader().feed(pack_results([(1, TextQuarantined("why"))]))
    [[(number, outcome)]] = [list(read_results(payload)) for _, payload in frames]
    assert (number, plain(outcome)) == (1, (InferenceFailed, "why"))


@pytest.mark.parametrize("stream", [b"\x00\x00\x00\x00\x01", b"\xff\xff\xff\xff\x01", b"\x01\x00\x00\x00\x63"])
def test_what_is_no_frame_is_refused(stream: bytes) -> None:
    """Empty, longer than anything we send, of no known kind."""
    with pytest.raises(ValueError, match=r"frame|Kind"):
        list(FrameReader().feed(stream))
