"""The report's page: jinja2, escaped, no script, no outside host; light or dark as the reader's system is."""

PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Evaluation: {{ r.data.file }}</title>
<style>
:root { color-scheme: light dark; --ink: #1b1b1f; --dim: #5c5f66; --paper: #fff; --rule: #d8dae0; --head: #f3f4f7; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8e8ec; --dim: #a2a6b0; --paper: #17181c; --rule: #3a3d45; --head: #22242a; }
}
body { color: var(--ink); background: var(--paper); font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto;
       max-width: 76rem; padding: 0 1.2rem; }
h1, h2 { line-height: 1.2; } h2 { margin-top: 2.6rem; }
p, li { max-width: 52rem; } .dim, figcaption, caption { color: var(--dim); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 13.5px; margin: .6rem 0; }
caption { text-align: left; padding-bottom: .3rem; }
th, td { border-bottom: 1px solid var(--rule); padding: .28rem .7rem; text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; } thead th { background: var(--head); }
tr.total td, tr.total th { font-weight: 600; }
figure { margin: 1rem 0; } figure img { background: #fff; border-radius: 6px; max-width: 100%; height: auto; }
code { font-size: .93em; overflow-wrap: anywhere; }
</style>
</head>
<body>
<h1>How well {{ r.models | map(attribute="name") | join(", ") }} predict{{ "s" if r.models | length == 1 }} people</h1>
<p>{{ r.data.pairs }} pairs on {{ r.data.prompts }} prompts from <code>{{ r.data.file }}</code>
(sha256 <code>{{ r.data.sha256[:12] }}</code>); p*, the share of people who prefer answer a, is known for
{{ r.data.pairs_with_people }}.
Intervals are 95 %, from {{ r.settings.bootstrap }} resamples of whole prompts (seed {{ r.settings.seed }}).
{{ none }} means that the statistic has no value there. A star marks fewer than 30 prompts: read the interval.</p>
{% if r.notes %}<ul>{% for note in r.notes %}<li>{{ note }}</li>{% endfor %}</ul>{% endif %}

{% macro picture(name) %}{% if name in pictures %}<figure>
<img src="data:image/svg+xml;base64,{{ pictures[name].data }}" alt="{{ pictures[name].text }}">
<figcaption>{{ pictures[name].text }} <a href="{{ name }}.png">PNG</a> <a href="{{ name }}.svg">SVG</a></figcaption>
</figure>{% endif %}{% endmacro %}

{% macro first_paper(statistic, title) %}
<div class="wide"><table><caption>{{ title }}</caption>
<thead><tr><th scope="col">pairs</th>{% for m in r.models %}<th scope="col">{{ m.name }}</th>{% endfor %}
{% for c in further %}<th scope="col">Δ {{ c.other }}</th>{% endfor %}</tr></thead><tbody>
{% for s in r.models[0].slices if s.with_people %}{% set i = r.models[0].slices.index(s) %}
<tr{% if s.group == "all" %} class="total"{% endif %}><th scope="row">{{ line_name(s, people=True) }}</th>
{% for m in r.models %}<td>{{ figure(m.slices[i].people[statistic]) }}</td>{% endfor %}
{% for c in further %}<td>{{ difference(find(c, s, statistic)) }}</td>{% endfor %}</tr>
{% endfor %}
<tr><th scope="row">All, σ(Δ) without calibration</th>
{% for m in r.models %}<td>{{ figure(m.raw.people[statistic]) }}</td>{% endfor %}</tr>
</tbody></table></div>{% endmacro %}

<h2>Agreement with people</h2>
{% if r.data.pairs_with_people %}
{{ first_paper("pearson", "Pearson correlation of P(a preferred) with p* (arXiv 2412.03822, Table 1)") }}
{{ first_paper("l1", "Mean distance |P(a preferred) − p*| (arXiv 2412.03822, Table 2)") }}
{% for line in tests %}<p>{{ line }}</p>{% endfor %}
{{ picture("scatter") }}
{% else %}<p>Not known here: no pair has a p*.</p>{% endif %}
{{ picture("categories") }}

<h2>Accuracy and calibration</h2>
{% for m in r.models %}
<div class="wide"><table><caption>{{ m.name }}, against the labels (arXiv 2312.07401, Table 2)</caption>
<thead><tr>{% for name in ("pairs", "accuracy", "ECE two-sided", "its noise floor", "ECE confidence",
"ECE to p*", "Brier", "NLL") %}<th scope="col">{{ name }}</th>{% endfor %}</tr></thead><tbody>
{% for s in m.slices %}
<tr{% if s.group == "all" %} class="total"{% endif %}><th scope="row">{{ line_name(s, people=False) }}</th>
<td>{{ figure(s.labels.accuracy) }}</td><td>{{ figure(s.labels.ece) }}</td>
<td>{{ "%.3f [%.3f, %.3f]" | format(s.noise_floor.mean, s.noise_floor.low, s.noise_floor.high) }}</td>
<td>{{ figure(s.labels.ece_confidence) }}</td><td>{{ figure(s.people.ece_soft) }}</td>
<td>{{ figure(s.labels.brier) }}</td><td>{{ figure(s.labels.nll) }}</td></tr>
{% endfor %}</tbody></table></div>
{% for line in extras[m.name] %}<p>{{ line }}</p>{% endfor %}
{% endfor %}
{{ picture("reliability") }}
{{ picture("sources") }}
{{ picture("best_of_n") }}

<h2>Beside trivial predictors</h2>
<p>Fitted to the labels by five-fold cross-validation by prompt on these very pairs; they see the length, or marks of
layout and tone, of the answers, never their words.</p>
<div class="wide"><table><thead><tr>{% for name in ("", "accuracy", "Pearson to p*", "L1 to p*", "ECE two-sided",
"Brier") %}<th scope="col">{{ name }}</th>{% endfor %}</tr></thead><tbody>
{% for m in r.models + r.baselines %}{% set s = m.overall %}
<tr><th scope="row">{{ m.name }}</th><td>{{ figure(s.labels.accuracy) }}</td><td>{{ figure(s.people.pearson) }}</td>
<td>{{ figure(s.people.l1) }}</td><td>{{ figure(s.labels.ece) }}</td><td>{{ figure(s.labels.brier) }}</td></tr>
{% endfor %}</tbody></table></div>

<h2>How to read it</h2>
<ul>
<li><b>P(a preferred)</b> is the version's own, calibrated, probability; σ(Δ), Δ = r_a − r_b, is the first paper's.</li>
<li><b>ECE two-sided</b> looks at both orders of every pair, ten bins on [0, 1] (the second paper's code); it equals
<b>ECE confidence</b>, which looks at max(P, 1 − P), with five bins on [½, 1]; shown with ten.
<b>ECE to p*</b> compares with the share of people instead of a label.</li>
<li>The <b>noise floor</b> is the ECE of a perfectly calibrated model on as many pairs (mean, 5–95 %): inside it an ECE
says nothing. The band of the reliability diagram is the same by bin.</li>
<li><b>Accuracy</b> leaves out tied labels, and counts P = ½ as half right. <b>Δ</b> is the other model less the first
on the same resampled prompts: where its interval holds 0, no difference is shown. Each interval is for its own line:
of twenty lines without a difference one is expected to miss 0.</li>
</ul>
<h2>Versions</h2>
<ul>{% for m in r.models %}<li><code>{{ m.name }}</code>: {% for key, value in m.version.items() %}{{ key }}
<code>{{ value if value is not none else none }}</code>{{ ", " if not loop.last }}{% endfor %}</li>{% endfor %}</ul>
<p class="dim">Every figure is in <code>results.json</code>.</p>
</body>
</html>
"""
