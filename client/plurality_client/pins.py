"""Which version a run is bound to: a reward must not change under a running loop."""

from plurality_client.errors import VersionChanged
from plurality_client.options import Pin
from plurality_client.records import Model, VersionChange

CURE = (
    "a reward must not change under a running loop: give the run's version an alias of its own, so that it is kept "
    "(plurality publish NAME VERSION --alias run-1), or start a new run with the new version"
)


class Pins:
    """The first version seen, for each model that was asked for."""

    def __init__(self, policy: Pin) -> None:
        self._policy: Pin = policy
        self._seen: dict[str | None, Model] = {}
        self.changes: list[VersionChange] = []
        """With `pin="record"`: every change, in order."""

    @property
    def binding(self) -> bool:
        """Whether a change ends the run."""
        return self._policy == "raise"

    def seen(self, asked: str | None) -> Model | None:
        """Return the version that last answered for this selector."""
        return self._seen.get(asked)

    def bound(self, asked: str | None) -> Model | None:
        """The version that must answer; None if any may."""
        return self._seen.get(asked) if self.binding else None

    def note(self, asked: str | None, model: Model) -> None:
        """Remember which version answered.

        Raises:
            VersionChanged: it is another one than before, and `pin="raise"`.
        """
        before = self._seen.get(asked)
        if before is not None and before.version != model.version:
            if self.binding:
                raise changed(before, model)
            if self._policy == "record":
                self.changes.append(VersionChange(before, model))
        if before is None or not self.binding:
            self._seen[asked] = model


def changed(before: Model, after: Model) -> VersionChanged:
    """Another version answered."""
    return VersionChanged(f"{before.selector} was answered by {after.selector}; {CURE}")


def gone(before: Model) -> VersionChanged:
    """The version is not served any more."""
    return VersionChanged(f"{before.selector} is no longer served; {CURE}")
