"""What a browser's form sent."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qs

from service.errors import MalformedRequest

_MOST_FIELDS = 512


@dataclass(frozen=True, slots=True)
class Form:
    """Fields by name, in order."""

    fields: Mapping[str, Sequence[str]]

    def text(self, name: str) -> str:
        """A field's value; empty where there is none.

        Raises:
            MalformedRequest: it is there twice.
        """
        values = self.fields.get(name, ())
        if len(values) > 1:
            raise MalformedRequest(f"the form has {name} twice", param=name)
        return values[0] if values else ""

    def texts(self, name: str) -> list[str]:
        """Every value of a field."""
        return list(self.fields.get(name, ()))

    def choice(self, name: str, allowed: Sequence[str]) -> str | None:
        """A field's value if it is one of these."""
        value = self.text(name)
        return value if value in allowed else None


EMPTY = Form({})


def read_form(body: bytes) -> Form:
    """Decode a form. Browsers send line ends as CRLF, whatever was typed: they are made LF again.

    Raises:
        MalformedRequest: no UTF-8, or too many fields.
    """
    try:
        fields = parse_qs(body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_MOST_FIELDS)
    except ValueError:
        raise MalformedRequest(f"the form is not UTF-8, or has more than {_MOST_FIELDS} fields") from None
    return Form({name: [value.replace("\r\n", "\n") for value in values] for name, values in fields.items()})
