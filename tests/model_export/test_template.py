"""A chat template is a stranger's program: rendered as transformers does, within limits, in its own process."""

import os
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
import transformers as hf
from tokenizers import Tokenizer, models

from model_export import template_child
from model_export.errors import UnsupportedModel
from model_export.template import Conversation, Limits, render_all
from tests.model_export.templates import TEMPLATES

TALKS: tuple[Conversation, ...] = (
    (("user", "a"), ("assistant", " b\n")),
    (("system", "é中🙂"), ("user", "{{ bos_token }}"), ("assistant", "<think>\nx\n</think>\n\ny")),
    (("user", ""), ("assistant", "b"), ("user", "c\n"), ("assistant", "\n\nd")),
    (("assistant", "a"),),
)
VARIABLES = {"bos_token": "<s>", "eos_token": "</s>", "additional_special_tokens": ["<x>", "<y>"]}
ODD = {
    "spaces of blocks": "  {% for m in messages %}\n  {{ m.role }}\n  {% endfor %}\n",
    "a generation block": "{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}{% endfor %}",
    "loop controls": "{% for m in messages %}{% if loop.index > 2 %}{% break %}{% endif %}{{ m.content }}{% endfor %}",
    "json": "{{ messages | tojson }}{{ messages | tojson(indent=2) }}{{ {'b': '<', 'a': 1} | tojson(sort_keys=true) }}",
    "nothing defined": "{{ tools is none }}{{ documents is none }}{{ add_generation_prompt }}{{ unheard_of }}",
    "special tokens": "{{ bos_token }}{{ additional_special_tokens }}{{ strftime_now is defined }}",
    "a refusal": "{{ raise_exception('no') if messages | length > 2 else messages[0].content }}",
    "an error": "{{ messages[1].content }}",
    "the time, unseen": "{% set now = strftime_now(format='%H') %}{{ messages[0].content }}",
    "namespaces": "{% set n = namespace(x=0) %}{% for m in messages %}{% set n.x = n.x + 1 %}{% endfor %}{{ n.x }}",
}


def tokenizer_with(template: Any) -> Any:
    made = hf.PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE()), **VARIABLES)
    made.chat_template = template
    return made


def rendered_by_transformers(template: str, talk: Conversation) -> str | None:
    messages = [{"role": role, "content": content} for role, content in talk]
    try:
        return str(tokenizer_with(template).apply_chat_template(messages, tokenize=False))
    except Exception:  # noqa: BLE001 - whatever a template raises
        return None


@pytest.mark.parametrize("template", [*TEMPLATES.values(), *ODD.values()], ids=[*TEMPLATES, *ODD])
def test_renders_as_transformers_does(template: str) -> None:
    """Text for text, refusal for refusal."""
    expected = tuple(rendered_by_transformers(template, talk) for talk in TALKS)
    assert any(expected)
    found = render_all(template, tokenizer_with(template).special_tokens_map, TALKS)
    assert found.texts == expected


@pytest.mark.parametrize(
    ("template", "cause"),
    [
        ("{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}", "did not end in 1 s"),
        ("{{ 'x' * 1000000000 }}", "more memory than the 512 MiB"),
        ("{{ 'x' * 10000000 }}", "far more text"),
        ("{% for m in messages %}{{ 'x' * 9000 }}{% endfor %}", "far more text"),
        ("{{ ''.__class__.__mro__ }}", "sandbox forbids.*__class__"),
        ("{{ messages.append('x') }}", "sandbox forbids"),
        ("{{ raise_exception.__globals__['sys'].exit() }}", "sandbox forbids"),
        ("{% for m in messages %}{{ m.content }}", "not valid Jinja .line 1"),
        ("{{ strftime_now('%d %b %Y') }}", "writes the date"),
        ("{% set now = strftime_now('%H') | int %}{{ 'a' if now < 12 else 'b' }}", "writes the date"),
        ("Good {{ {'AM': 'morning', 'PM': 'day'}[strftime_now(format='%p')] }}.", "writes the date"),
        ("{% if strftime_now('%a') == 'Sun' %}Rest.{% endif %}{{ messages[0].content }}", "writes the date"),
        ("{% if strftime_now('%d %b') == '29 Feb' %}Leap.{% endif %}{{ messages[0].content }}", "writes the date"),
        ("{{ raise_exception('too old') if strftime_now('%Y') > '2030' else messages[0].content }}", "writes the date"),
    ],
)
def test_limits(template: str, cause: str) -> None:
    """Over a limit, or out of the sandbox: refused with cause and cure, and this process lives to say so."""
    limits = Limits(cpu_s=1, output_bytes=30_000)
    with pytest.raises(UnsupportedModel, match=f"the chat template .*{cause}.*chat_template"):
        render_all(template, VARIABLES, TALKS, limits=limits)


def test_a_child_that_does_not_come_back() -> None:
    """Wall-clock time is limited too; the child is gone afterwards."""
    loop = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"
    before = set(psutil.Process().children())
    with pytest.raises(UnsupportedModel, match="did not end"):
        render_all(loop, VARIABLES, TALKS, limits=Limits(wall_s=0.05))
    assert set(psutil.Process().children()) <= before


@pytest.mark.parametrize("at", ["00:00", "10:30", "11:30", "12:00", "23:30", "23:59"])
def test_at_any_hour(at: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the machine's clock says: a template that greets by the time of day is found."""
    (tmp_path / "sitecustomize.py").write_text(
        "import datetime\n"
        "class Stopped(datetime.datetime):\n"
        "    @classmethod\n"
        "    def now(cls, tz=None):\n"
        f"        return cls.fromisoformat('2026-12-01T{at}')\n"
        "datetime.datetime = Stopped\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(UnsupportedModel, match="writes the date"):
        render_all("{{ 'morning' if strftime_now('%H') | int < 12 else 'day' }}", VARIABLES, TALKS[:1])


def days() -> Iterator[datetime]:
    """Every day from 1970 to 2100."""
    first = datetime(1970, 1, 1)  # noqa: DTZ001 - as templates are told it
    return (first + timedelta(days=day) for day in range((datetime(2101, 1, 1) - first).days))  # noqa: DTZ001


def seconds() -> Iterator[datetime]:
    """Every second of a day."""
    return (datetime(2026, 12, 1) + timedelta(seconds=second) for second in range(86_400))  # noqa: DTZ001


def hours() -> Iterator[datetime]:
    """Every hour of a week."""
    return (datetime(2026, 12, 1) + timedelta(hours=hour) for hour in range(168))  # noqa: DTZ001


def is_dated(template: str, talks: list[list[dict[str, str]]]) -> bool:
    """Whether the child would refuse it for its date."""
    try:
        template_child.answer({
            "template": template, "variables": {}, "conversations": talks, "most_characters": 10**6,
        })  # fmt: skip
    except template_child.DatedError:
        return True
    return False


@pytest.mark.parametrize(
    ("form", "times"),
    [(form, seconds) for form in ("%H", "%I", "%p", "%M", "%S")]
    + [(form, hours) for form in ("%A", "%u", "%a %H")]
    + [(form, days) for form in ("%B", "%m", "%d", "%m-%d", "%j", "%U", "%W", "%V", "%C", "%Y")],
)
def test_any_time_that_is_different(form: str, times: Callable[[], Iterator[datetime]]) -> None:
    """A template that writes something else in one hour, on one day, in one year ... only: found, whichever it is."""
    values = {moment.strftime(form) for moment in times()}
    template = "{% if strftime_now('FORM') == 'VALUE' %}Hello.{% endif %}{{ messages[0].content }}".replace(
        "FORM", form
    )
    talk = [{"role": "user", "content": "a"}]
    missed = [value for value in sorted(values) if not is_dated(template.replace("VALUE", value), [talk])]
    assert not missed


def test_a_time_that_shows_in_some_conversations() -> None:
    """The time is written only beside a word, and in the morning: the later conversations see other hours too."""
    template = (
        "{% for m in messages %}{% if strftime_now('%H') | int < 12 and '<x>' in m.content %}Morning! {% endif %}"
        "{{ m.content }}{% endfor %}"
    )
    plain, marked = ([{"role": "user", "content": content}] for content in ("a", "<x>"))
    assert not is_dated(template, [plain] * 100)
    assert is_dated(template, [plain] * 100 + [marked] * 6)


def test_nothing_of_ours_is_in_the_child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not the environment, and no file that this process has open."""
    (tmp_path / "sitecustomize.py").write_text(
        "import os, pathlib, sys\n"
        "opened = [os.readlink(f'/proc/self/fd/{n}') for n in range(3, 300) if os.path.exists(f'/proc/self/fd/{n}')]\n"
        f"pathlib.Path({str(tmp_path / 'seen')!r}).write_text(repr((sorted(os.environ), opened)))\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("SECRET_KEY", "hunter2")
    with (tmp_path / "open").open("w") as opened:
        os.set_inheritable(opened.fileno(), True)
        render_all("{{ messages[0].content }}", VARIABLES, TALKS[:1])
    seen = (tmp_path / "seen").read_text()
    assert "PYTHONPATH" in seen
    assert "SECRET_KEY" not in seen
    assert str(tmp_path / "open") not in seen


def test_the_words_of_its_code() -> None:
    """What a template may look for in a text is told with the texts."""
    found = render_all("{% if '</think>' in messages[0].content and \"a\\n\" %}it's{% endif %}", {}, TALKS[:1])
    assert set(found.literals) == {"</think>", "a\n"}
