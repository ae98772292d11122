"""Renders one untrusted chat template, and nothing else: started as a script by `template.py`, in a child process.

Reads one request (JSON) from standard input and writes one answer (JSON) to standard output. Imports the standard
library and Jinja only. Sets its own limits before it reads a word of the template.
"""

import json
import resource
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import cycle
from typing import Any

import jinja2.debug  # what Jinja would otherwise import in the middle of an error
import jinja2.ext
from jinja2 import TemplateError, TemplateSyntaxError, nodes
from jinja2.exceptions import SecurityError
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

Talk = list[dict[str, str]]


def _instants() -> Iterator[datetime]:
    """Every day of leap years, then every year from 1970 to 2100: with every hour of every weekday, minute and second.

    Steps have no factor in common with what they count, so that a few instants in a row differ in everything.
    """
    days = [datetime(1972 + place % 32 * 4, 1, 1) + timedelta(place * 139 % 366) for place in range(366)]  # noqa: DTZ001
    days += [datetime(1970 + place, 1, 1) + timedelta(place * 139 % 365) for place in range(131)]  # noqa: DTZ001
    had = [0] * 7
    for place, day in enumerate(days):
        weekday = day.weekday()
        hour = (had[weekday] * 7 + weekday * 5) % 24
        had[weekday] += 1
        yield day.replace(hour=hour, minute=place * 7 % 60, second=place * 11 % 60, microsecond=place * 2003)


_FIRST, *_OTHERS = _instants()
"""Fixed, so that what is found does not depend on when it is looked for."""


class Clock:
    """The clock of a template, never the machine's; records whether the template read it."""

    def __init__(self) -> None:
        self.now = _FIRST
        self.asked = False
        self._in_turn = cycle(_OTHERS)
        self._orders: set[tuple[str, ...]] = set()

    def strftime_now(self, format: str) -> str:  # noqa: A002 - transformers' name for it, which a template may write
        self.asked = True
        # Time without a zone is what transformers gives to templates.
        return self.now.strftime(format)

    def others(self, talk: Talk) -> Sequence[datetime]:
        """Further instants to render at: all for the first of an order of roles, the next one for each later."""
        order = tuple(turn["role"] for turn in talk)
        if order in self._orders:
            return [next(self._in_turn)]
        self._orders.add(order)
        return _OTHERS


class Generation(jinja2.ext.Extension):
    """`{% generation %}...{% endgeneration %}`, which marks an assistant's words for training, prints its body."""

    tags = {"generation"}  # noqa: RUF012 - Jinja's own declaration

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("_print"), [], [], body).set_lineno(line)

    def _print(self, caller: Callable[[], str]) -> str:
        return caller()


def environment(clock: Clock) -> ImmutableSandboxedEnvironment:
    """A Jinja environment with the same names and white space rules as that of transformers."""
    made = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols]
    )
    made.filters["tojson"] = _to_json
    made.globals["raise_exception"] = _refuse
    made.globals["strftime_now"] = clock.strftime_now
    return made


def _to_json(
    value: Any, ensure_ascii: bool = False, indent: Any = None, separators: Any = None, sort_keys: bool = False
) -> str:
    """Without the HTML escapes of Jinja's own."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _refuse(message: str) -> str:
    raise TemplateError(message)


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """`texts`: a rendering a conversation, or null where the template refuses it; or `error` with its kind."""
    clock = Clock()
    made = environment(clock)
    try:
        template = made.from_string(request["template"])
        constants = made.parse(request["template"]).find_all(nodes.Const)
    except TemplateSyntaxError as error:
        return {"error": "syntax", "detail": f"line {error.lineno}: {str(error.message)[:200]}"}
    texts: list[str | None] = []
    for talk in request["conversations"]:
        text = _render(template, clock, talk, request["variables"])
        if text is not None and len(text) > request["most_characters"]:
            return {"error": "output"}
        texts.append(text)
    return {"texts": texts, "literals": sorted({node.value for node in constants if isinstance(node.value, str)})}


class DatedError(Exception):
    """The template writes the time into the text."""


def _render(template: jinja2.Template, clock: Clock, talk: Talk, variables: dict[str, Any]) -> str | None:
    clock.now, clock.asked = _FIRST, False
    text = _once(template, talk, variables)
    if clock.asked:
        for instant in clock.others(talk):
            clock.now = instant
            if _once(template, talk, variables) != text:
                raise DatedError
    return text


def _once(template: jinja2.Template, talk: Talk, variables: dict[str, Any]) -> str | None:
    messages = [dict(turn) for turn in talk]
    try:
        return template.render(messages=messages, tools=None, documents=None, add_generation_prompt=False, **variables)
    except (SecurityError, MemoryError):
        raise
    except Exception:  # noqa: BLE001 - a template is a program: it may refuse a conversation in any way it likes
        return None


def limit(request: dict[str, Any]) -> None:
    """From here on the kernel counts: processor time, memory, bytes written, no core file. Limits are never raised."""
    for which, soft, hard in (
        # The soft limit ends the process by SIGXCPU, which says why it ended; the hard one by SIGKILL.
        (resource.RLIMIT_CPU, request["cpu_s"], request["cpu_s"] + 1),
        (resource.RLIMIT_AS, request["memory_bytes"], request["memory_bytes"]),
        (resource.RLIMIT_FSIZE, request["output_bytes"], request["output_bytes"]),
        (resource.RLIMIT_CORE, 0, 0),
    ):
        given = resource.getrlimit(which)[1]
        most = hard if given == resource.RLIM_INFINITY else min(hard, given)
        resource.setrlimit(which, (min(soft, most), most))


def main() -> None:
    """One request in, one answer out."""
    request = json.load(sys.stdin.buffer)
    limit(request)
    try:
        found = json.dumps(answer(request))
    except SecurityError as error:
        found = json.dumps({"error": "security", "detail": str(error)[:200]})
    except MemoryError:
        found = json.dumps({"error": "memory"})
    except DatedError:
        found = json.dumps({"error": "date"})
    sys.stdout.buffer.write(found.encode())
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
