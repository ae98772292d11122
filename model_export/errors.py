"""The errors of export, each with its cure in the message.

PluralityError
└── ExportError
    ├── UnsupportedModel      not a sequence classifier with one label, or one we cannot read
    └── FidelityError         the exported file does not score as the checkpoint does
"""

from plurality.core.errors import PluralityError


class ExportError(PluralityError):
    """The version was not published."""

    code = "export_error"


class UnsupportedModel(ExportError):
    """The checkpoint is not a reward model that we can export."""

    code = "unsupported_model"


class FidelityError(ExportError):
    """The exported file does not score as the checkpoint does."""

    code = "fidelity_error"
