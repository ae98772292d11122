"""A chat template is a stranger's program: rendered as transformers does, within limits, in its own process."""

import os
from pathlib import Path
from typing import Any

import psutil
import pytest
import transformers as hf
from tokenizers import Tokenizer, models

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


def test_a_date_that_does_not_show() -> None:
    """A template may ask for the time, if it then writes the same at any time."""
    found = render_all("{% set now = strftime_now('%Y') %}{{ messages[0].content }}", VARIABLES, TALKS[:1])
    assert found.texts == ("a",)


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
