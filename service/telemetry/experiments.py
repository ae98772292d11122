"""The metrics of experiments. Labels are names of experiments and arms: a definition has at most eight arms."""

from prometheus_client import CollectorRegistry, Counter, Gauge


class ExperimentMetrics:
    """Instruments of one process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"rm_{name}", text, ("experiment", *labels), registry=registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"rm_{name}", text, labels, registry=registry)

        self.assigned = counter("ab_assigned", "Requests by the arm that their unit is in.", "arm")
        self.unassigned = counter("ab_unassigned", "Requests of several prompts without a unit: the control serves.")
        self.overridden = counter("ab_overridden", "Requests that named their arm.", "arm")
        self.fallback = counter(
            "ab_fallback", "Requests of an arm that the control served instead, by cause.", "arm", "reason"
        )
        self.disabled = gauge("ab_arm_disabled", "1 while an arm is off because it failed.", "experiment", "arm")
        self.compared = counter("ab_compared", "Pairs that a shadow arm scored beside the answering one.", "arm")
        self.disagreement = counter("ab_disagreement", "Of these, pairs that the two order differently.", "arm")
        self.flip_ratio = gauge(
            "ab_rank_flip_ratio", "Share of the last 1000 compared pairs that are ordered differently.",
            "experiment", "arm",
        )  # fmt: skip
        self.reward_diff_shift = gauge(
            "ab_reward_diff_shift", "Mean |Δr / T| of the shadow less that of the answering version, last 1000 pairs.",
            "experiment", "arm",
        )  # fmt: skip
        self.dropped = counter("shadow_dropped", "Items that a shadow arm did not score, by cause.", "reason")
        self.predicted = counter("ab_predicted_votes", "Votes whose pair an arm's version has scored.", "arm")
        self.definitions_up = gauge("ab_definitions_up", "Whether the last look at the definitions worked.", "origin")
