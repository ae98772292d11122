"""`plurality evaluate`."""

from pathlib import Path
from typing import Annotated

import typer

from plurality.cli.options import Store


def evaluate(
    models: Annotated[
        list[str], typer.Argument(metavar="MODEL...", help="name, name@alias or name@digest; others against the first.")
    ],
    store: Store,
    data: Annotated[Path, typer.Option(help="Pairs that the models were not trained on, .jsonl or .parquet.")],
    votes: Annotated[
        Path | None,
        typer.Option(help="What annotators said, .csv: then p* and the categories are theirs alone."),
    ] = None,
    id_sources: Annotated[
        str, typer.Option(help="Sources that the models were trained on, comma-separated: in domain, others out of it.")
    ] = "",
    report: Annotated[
        Path | None, typer.Option(help="Directory for report.html, results.json and the plots (PNG, SVG).")
    ] = None,
    bootstrap: Annotated[int, typer.Option(min=1, help="Resamples of whole prompts behind each interval.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Of the resamples.")] = 0,
) -> None:
    """How well models predict people: both papers' tables, with intervals, for any file of pairs.

    A row of the data: {"id": "q1", "source": "webgpt", "prompt": "...", "response_a": "...", "response_b": "...",
    "label": 1, "category": "objective", "votes": {"a": 7, "b": 3}}. label: 1 = a was chosen, 0 = b. source and category
    make the lines of the tables. p*, the share of people who prefer a, is `true_preference` or the share of the votes;
    without either (RewardBench and its like) there is accuracy and calibration by source and category.

    First (arXiv 2412.03822, Tables 1 and 2): Pearson and L1 of P(a preferred) to p*, by source, in and out of domain,
    by category. Second (arXiv 2312.07401, Table 2): accuracy and ECE to the labels by source, both conventions named,
    with the noise floor below which ECE says nothing. Several models are compared on the same resampled prompts, and
    by Williams' test. Beside them predictors that only see length or layout.

    --votes reads the first paper's annotator guidelines: a line for one annotator and pair, columns id, annotator,
    task1 (A single, B multiple correct answers), task2 (A indistinguishable, B distinguishable), task3 (option 1 to 11,
    or 10A-0B to 0A-10B); or a line a pair with task1_1, task2_1, task3_1, task1_2, ... Option 11 is printed there as
    10A-0B and read as 0A-10B. p* is the mean; a category is what more than half say, and a tie is in neither.

        plurality evaluate demo-baseline demo-margin --store .demo/store --data .demo/data/test.jsonl --report report
    """
    from plurality.evaluation.run import Question, run
    from plurality.evaluation.text import lines
    from plurality.stats.paired import Resampling

    sources = [name.strip() for name in id_sources.split(",") if name.strip()]
    results = run(Question(models, store, data, votes, sources, report, Resampling(bootstrap, seed)))
    for line in lines(results):
        typer.echo(line)
    if report is not None:
        typer.echo(f"report: {report / 'report.html'}")
