"""Where the aliases of one model point: what the pointer says, what overrides it, what is served. Pure, immutable.

An override is a decision of this process (a rollback) that the pointer does not know of yet. It gives way as soon as
somebody decides anew in the pointer: about this alias, or by writing the same aliases once more.
"""

from collections.abc import Mapping, Set
from dataclasses import dataclass, field, replace

from service.bundle.pointer import Pointer
from service.errors import RollbackImpossible

_MOST_FORMER = 16


@dataclass(frozen=True, slots=True)
class Override:
    """An alias that this process holds elsewhere than the pointer says."""

    digest: str
    instead_of: str | None
    """What the pointer said then; None: it had no such alias."""


@dataclass(frozen=True, slots=True)
class Aliases:
    """All aliases of one model."""

    generation: int = 0
    pointed: Mapping[str, str] = field(default_factory=dict)
    """By alias, from the last pointer that could be read."""
    overrides: Mapping[str, Override] = field(default_factory=dict)
    served: Mapping[str, str] = field(default_factory=dict)
    former: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """What each alias named before, the latest last."""

    @property
    def targets(self) -> dict[str, str]:
        """Where each alias should be."""
        return {**self.pointed, **{alias: override.digest for alias, override in self.overrides.items()}}

    @property
    def wanted(self) -> frozenset[str]:
        """Versions that must be, or become, loaded."""
        return frozenset({*self.pointed.values(), *self.targets.values()})

    def read(self, pointer: Pointer) -> "Aliases":
        """Follow a pointer; overrides that it decides anew end."""
        if pointer.generation == self.generation:
            return self
        again = pointer.aliases == self.pointed
        kept = {
            alias: override
            for alias, override in self.overrides.items()
            if not again and pointer.aliases.get(alias) == override.instead_of
        }
        return replace(self, generation=pointer.generation, pointed=dict(pointer.aliases), overrides=kept)

    def settle(self, resident: Set[str]) -> "Aliases":
        """Move every alias to where it should be, if that version is loaded; else it stays where it is.

        An alias that goes back takes back its history too: going back once more goes further, not forth.
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

    def hold(self, alias: str, digest: str) -> "Aliases":
        """Override the pointer."""
        override = Override(digest, self.pointed.get(alias))
        return replace(self, overrides={**self.overrides, alias: override})

    def spare(self, keep: Mapping[str, int], resident: Set[str]) -> frozenset[str]:
        """Former versions that stay loaded, so that going back takes no loading: so many for these aliases."""
        kept: list[str] = []
        for alias, count in keep.items():
            past = [digest for digest in self.former.get(alias, ()) if digest in resident]
            kept += past[len(past) - min(count, len(past)) :]
        return frozenset(kept)
