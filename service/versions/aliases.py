"""The aliases of one model: targets of the pointer, overrides of this process, versions served. Pure, immutable.

An override is a rollback by this process that the pointer does not know of. It ends when the pointer changes this
alias, or is written again with the same aliases.
"""

from collections.abc import Mapping, Set
from dataclasses import dataclass, field, replace

from service.bundle.pointer import Pointer
from service.errors import RollbackImpossible

_MOST_FORMER = 16


@dataclass(frozen=True, slots=True)
class Override:
    """An alias that this process keeps at another version than the pointer."""

    digest: str
    instead_of: str | None
    """The pointer's target at that moment; None: it had no such alias."""


@dataclass(frozen=True, slots=True)
class Aliases:
    """All aliases of one model."""

    generation: int = 0
    pointed: Mapping[str, str] = field(default_factory=dict)
    """By alias, from the last pointer that could be read."""
    overrides: Mapping[str, Override] = field(default_factory=dict)
    served: Mapping[str, str] = field(default_factory=dict)
    former: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Versions that each alias named before, the latest last."""

    @property
    def targets(self) -> dict[str, str]:
        """The version that each alias should serve."""
        return {**self.pointed, **{alias: override.digest for alias, override in self.overrides.items()}}

    @property
    def wanted(self) -> frozenset[str]:
        """Versions that must be, or become, loaded."""
        return frozenset({*self.pointed.values(), *self.targets.values()})

    def read(self, pointer: Pointer) -> "Aliases":
        """Take over a pointer; end the overrides of aliases that it changes."""
        if pointer.generation == self.generation:
            return self
        # A new generation with the same aliases is somebody insisting on them: every override ends.
        again = pointer.aliases == self.pointed
        kept = {
            alias: override
            for alias, override in self.overrides.items()
            if not again and pointer.aliases.get(alias) == override.instead_of
        }
        return replace(self, generation=pointer.generation, pointed=dict(pointer.aliases), overrides=kept)

    def reconcile(self, resident: Set[str]) -> "Aliases":
        """Move every alias to its target if that version is loaded; otherwise it keeps the version that it serves.

        An alias that goes back also shortens its history: going back once more goes further, not forth.
        """
        served: dict[str, str] = {}
        former = dict(self.former)
        for alias, target in self.targets.items():
            now = self.served.get(alias)
            if target not in resident:
                if now is not None and now in resident:
                    served[alias] = now
                continue
            served[alias] = target
            past = former.get(alias, ())
            if target in past:
                former[alias] = past[: past.index(target)]
            elif now is not None and now != target:
                former[alias] = (*past, now)[-_MOST_FORMER:]
        return replace(self, served=served, former={alias: past for alias, past in former.items() if alias in served})

    def previous(self, alias: str, resident: Set[str]) -> str:
        """The latest former version of an alias that is still loaded.

        Raises:
            RollbackImpossible: there is none.
        """
        for digest in reversed(self.former.get(alias, ())):
            if digest in resident and digest != self.served.get(alias):
                return digest
        raise RollbackImpossible(f"no former version of alias {alias} is loaded", param="alias")

    def pin_alias(self, alias: str, digest: str) -> "Aliases":
        """Override the pointer for one alias."""
        override = Override(digest, self.pointed.get(alias))
        return replace(self, overrides={**self.overrides, alias: override})

    def retained_for_rollback(self, keep: Mapping[str, int], resident: Set[str]) -> frozenset[str]:
        """Former versions that stay loaded so that a rollback needs no loading.

        Args:
            keep: how many of them, by alias.
        """
        kept: list[str] = []
        for alias, count in keep.items():
            past = [digest for digest in self.former.get(alias, ()) if digest in resident]
            kept += past[len(past) - min(count, len(past)) :]
        return frozenset(kept)
