"""`conf/tune`: how many settings are compared inside the label budget."""

from dataclasses import dataclass
from enum import StrEnum

from tlexp.config.setting import setting


class SearchKind(StrEnum):
    """ranges = looked for in tune.lr and tune.weight_decay; around = spread around the policy's default rates."""

    ranges = "ranges"
    around = "around"


@dataclass
class TuneConfig:
    """The search inside a run. It sees the label budget only, never the held-out images."""

    trials: int = setting(0, "Candidate settings that are compared inside the budget; 0 takes the policy's defaults.")
    search: SearchKind = setting(
        SearchKind.ranges,
        "ranges (Optuna looks in tune.lr and tune.weight_decay) or around (rates spread evenly from a tenth of the "
        "policy's default to ten times it; where nothing can be compared the default is taken).",
    )
    validate: bool = setting(
        True,
        "Measure a single candidate on a part of the budget before the final fit, for val/* and the temperature of its "
        "probabilities; false saves those fits, as studies do, or where a network is made for others to start from.",
    )
    lr: list[float] = setting([1e-5, 1e-1], "Range of the learning rate, low and high, searched on a log scale.")
    weight_decay: list[float] = setting([1e-6, 1e-1], "Range of the weight decay, low and high, on a log scale.")

    def problems(self) -> list[str]:
        """Return every broken rule of this group."""
        found = []
        if self.trials < 0:
            found.append(f"tune.trials={self.trials}: must be at least 0")
        if self.trials > 1 and not self.validate:
            found.append(f"tune.validate=false leaves nothing to compare tune.trials={self.trials} on: leave one out")
        for name in ("lr", "weight_decay"):
            values = getattr(self, name)
            if len(values) != 2 or not 0 < values[0] < values[1] < float("inf"):
                found.append(f"tune.{name}={values}: must be [low, high] with 0 < low < high")
        return found
