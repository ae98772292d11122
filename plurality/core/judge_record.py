"""What a row keeps of a judgement. Beside people's votes, never among them."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Order = Literal["ab", "ba"]
"""Which answer the judge was shown first."""
Mode = Literal["logprob", "sample"]
_Fraction = Annotated[float, Field(ge=0.0, le=1.0)]


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class OrderRecord(_Closed):
    """The judge's answer with the responses in one order."""

    order: Order
    a: int = Field(default=0, ge=0)
    """Sampled answers that chose a, wherever it was shown."""
    b: int = Field(default=0, ge=0)
    unparsable: int = Field(default=0, ge=0)
    """Answers that name neither or both; a label token that was not listed, or too little covered mass."""
    logit: float | None = None
    """logit P(a preferred) from the label tokens' log probabilities; None in mode `sample` and where unreadable."""
    covered: _Fraction | None = None
    """Probability of all label tokens together, before they are renormalized; None in mode `sample`."""


class JudgeRecord(_Closed):
    """One pair's judgement by a language model."""

    q: _Fraction | None = None
    """P(a preferred); left out where no answer could be read."""
    mode: Mode
    n: int = Field(ge=1)
    """Answers asked for."""
    parsed: int = Field(ge=0)
    unparsable: int = Field(ge=0)
    orders: tuple[OrderRecord, ...] = Field(strict=False)
    model: str
    """As the endpoint was asked for it."""
    settings: str
    """sha256 of everything that was asked; the run's report holds the settings in full."""

    @property
    def margin(self) -> float | None:
        """m = |2q − 1| (arXiv 2412.03822, eq. 3), unsigned as in the paper."""
        return None if self.q is None else abs(2.0 * self.q - 1.0)
