"""An experiment's report as of now: the votes that its versions have predicted, and a verdict on each arm."""

from collections.abc import Mapping
from dataclasses import dataclass

from service.bundle.manifest import made_at
from service.experiments.arm_health import ArmCounters
from service.experiments.definition import Arm, Experiment
from service.experiments.predict import Resident, Votes, votes_since
from service.experiments.registry import Entry
from service.experiments.report import Report, build_report
from service.experiments.verdict import Health, Rules, Verdict, VersionHealth, decide


@dataclass(frozen=True, slots=True)
class ArmReport:
    """One arm against the control; where there is no report, why."""

    arm: str
    report: Report | None
    verdict: Verdict


def report_on(entry: Entry, versions: Mapping[str, Resident], votes: Votes) -> list[ArmReport]:
    """A report of each arm but the control. Blocking: reads the database, resamples.

    The experiment's alpha is shared out among the arms: together they call equal versions different with at most that
    chance.
    """
    experiment = entry.experiment
    control = versions.get(experiment.control)
    rivals = [arm for arm in experiment.arms if arm.name != experiment.control]
    since = votes_since(experiment, versions)
    found = []
    for arm in rivals:
        version = versions.get(arm.name)
        if (problem := _problem(experiment, control, version)) or control is None or version is None:
            found.append(ArmReport(arm.name, None, Verdict("hold", (problem or "",))))
            continue
        judged = votes.judged(experiment.model, (control.digest, version.digest), since, fresh=experiment.fresh_prompts)
        report = build_report(
            judged,
            control=control.digest,
            treatment=version.digest,
            alpha=experiment.alpha / len(rivals),
            votes_per_prompt=experiment.votes_per_prompt,
        )
        verdict = decide(report, _health(entry, arm, control.digest, version.digest), _rules(experiment))
        found.append(ArmReport(arm.name, report, verdict))
    return found


def _problem(experiment: Experiment, control: Resident | None, version: Resident | None) -> str | None:
    if control is None:
        return "The control's version is not resident."
    if version is None:
        return "The arm's version is not resident."
    if control.digest == version.digest:
        return "The arm and the control have the same version."
    if experiment.since is None and None in {made_at(control.created), made_at(version.created)}:
        return "A version's manifest does not say when it was made: give the experiment a `since`."
    return None


def _rules(experiment: Experiment) -> Rules:
    return Rules(
        criterion=experiment.criterion,
        tolerance=experiment.tolerance,
        least_votes=experiment.min_votes,
        slowdown=experiment.slowdown,
    )


def _health(entry: Entry, arm: Arm, control: str, treatment: str) -> Health:
    """Of the very versions that the report compares."""
    served = entry.seen(entry.experiment.control, control), entry.seen(arm.name, treatment)
    return Health(_of(served[0].counters), _of(served[1].counters), shadow=arm.shadow)


def _of(counters: ArmCounters) -> VersionHealth:
    return VersionHealth(counters.requests, counters.errors, counters.non_finite, counters.p95_s)
