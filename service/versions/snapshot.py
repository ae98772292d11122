"""The versions served at one moment, and how a request selects one of them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from service.bundle.pointer import DEFAULT_ALIAS
from service.errors import NotReady, UnknownModel
from service.versions.resident import ResidentVersion

_SELECTOR = re.compile(r"(?P<name>[a-z0-9][a-z0-9._-]{0,63})(?:@(?P<which>[a-z0-9][a-z0-9._-]{0,63}))?")
_MIN_DIGEST_PREFIX = 8


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a version, or a whole pointer, is not served."""

    model: str
    digest: str | None
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The versions served at one moment; replaced as a whole, never changed."""

    aliases: Mapping[str, Mapping[str, ResidentVersion]] = field(default_factory=dict)
    """By model, then by alias."""
    resident: Mapping[str, ResidentVersion] = field(default_factory=dict)
    """Every loaded version by its digest, also those that no alias names."""
    rejections: tuple[Rejection, ...] = ()

    def knows(self, selector: str) -> bool:
        """Whether a selector names one of the served models, in any version."""
        match = _SELECTOR.fullmatch(selector)
        return match is not None and match["name"] in self.aliases

    def select(self, selector: str | None, *, default_model: str | None) -> ResidentVersion:
        """The version that `name`, `name@alias` or `name@digest` (8 digits or more) names.

        Raises:
            UnknownModel: no such model, alias or loaded version.
            NotReady: nothing is loaded yet.
        """
        if not self.aliases:
            raise NotReady("no model version is loaded yet")
        match = _SELECTOR.fullmatch(selector or default_model or self._only_model())
        if match is None or match["name"] not in self.aliases:
            raise UnknownModel(f"no such model; served: {', '.join(sorted(self.aliases))}", param="model")
        model, which = match["name"], match["which"] or DEFAULT_ALIAS
        if which in self.aliases[model]:
            return self.aliases[model][which]
        found = [
            version
            for digest, version in self.resident.items()
            if digest.startswith(which) and version.manifest.model == model
        ]
        if len(which) >= _MIN_DIGEST_PREFIX and len(found) == 1:
            return found[0]
        raise UnknownModel(
            f"model {model} has no such alias or resident version; "
            f"aliases: {', '.join(sorted(self.aliases[model]))} (or 8 or more digits of a version's digest)",
            param="model",
        )

    def _only_model(self) -> str:
        names = sorted(self.aliases)
        if len(names) == 1:
            return names[0]
        raise UnknownModel(f"name a model, several are served: {', '.join(names)}", param="model")
