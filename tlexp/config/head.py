"""`conf/head`: what stands on top of the backbone."""

from dataclasses import dataclass
from enum import StrEnum

from tlexp.config.setting import setting

POOLS = ("avg", "max", "avgmax", "catavgmax", "token")


class HeadKind(StrEnum):
    """What turns features into logits.

    Trained step by step: linear = one layer, mlp = hidden layers before it, flatten_mlp = the same on the whole last
    map or all tokens, attention = one layer on what a learned query pools of them, cosine = a direction per class.
    Solved on frozen features: logreg = logistic regression, ridge = ridge regression on the classes, knn = votes of
    the nearest images, nearest_mean = the class of the nearest mean.
    """

    linear = "linear"
    mlp = "mlp"
    flatten_mlp = "flatten_mlp"
    attention = "attention"
    cosine = "cosine"
    logreg = "logreg"
    ridge = "ridge"
    knn = "knn"
    nearest_mean = "nearest_mean"

    @property
    def solved(self) -> bool:
        """Whether there is a solution instead of steps towards one."""
        return self in (HeadKind.logreg, HeadKind.ridge, HeadKind.knn, HeadKind.nearest_mean)

    @property
    def hidden_layers(self) -> bool:
        """Whether hidden layers come before the last one."""
        return self in (HeadKind.mlp, HeadKind.flatten_mlp)

    @property
    def sees_map(self) -> bool:
        """Whether its features are the whole last map, or all tokens, instead of what is pooled."""
        return self in (HeadKind.flatten_mlp, HeadKind.attention)

    @property
    def penalised(self) -> bool:
        """Whether it is solved with a weight decay."""
        return self in (HeadKind.logreg, HeadKind.ridge)

    @property
    def has_loss(self) -> bool:
        """Whether a loss is minimised in which images could have weights."""
        return not self.solved or self.penalised

    @property
    def counts_classes(self) -> bool:
        """Whether its predictions go by how frequent the classes are among the images that it learned from."""
        return self is not HeadKind.nearest_mean

    @property
    def leaves_out(self) -> bool:
        """Whether it is calibrated by leaving out each row that it is solved on."""
        return self in (HeadKind.ridge, HeadKind.nearest_mean)


class HeadInit(StrEnum):
    """How the last layer starts: at zero, small at random, or as the tuned linear probe of the frozen backbone.

    A cosine has no zero: all its classes start at one random direction then, or each at its own with normal.
    """

    zero = "zero"
    normal = "normal"
    probe = "probe"


class Activation(StrEnum):
    """Non-linearity between hidden layers."""

    relu = "relu"
    gelu = "gelu"
    silu = "silu"
    tanh = "tanh"


class HeadNorm(StrEnum):
    """Normalisation after each hidden layer."""

    none = "none"
    batch = "batch"
    layer = "layer"


@dataclass
class HeadConfig:
    """The head. It computes in float32, whatever the backbone's precision."""

    kind: HeadKind = setting(HeadKind.linear, f"{', '.join(HeadKind)}.")
    hidden: list[int] = setting([], "Widths of the hidden layers of mlp and flatten_mlp, e.g. [256].")
    activation: Activation = setting(Activation.relu, "relu, gelu, silu or tanh, after each hidden layer.")
    dropout: float = setting(0.0, "Dropout after each hidden layer, or before the only one, [0, 1).")
    norm: HeadNorm = setting(HeadNorm.none, "none, batch or layer, after each hidden layer.")
    init: HeadInit = setting(
        HeadInit.zero,
        "Last layer: zero (the first loss is ln K), normal (standard deviation 0.01, bias 0), or probe: logistic "
        "regression on the frozen backbone's features, tuned inside the budget (arXiv 2202.10054).",
    )
    scale: float | None = setting(
        None, "Factor on the cosines of head=cosine, (0, inf); null learns it, from 10 (arXiv 1804.09458)."
    )
    units: list[str] = setting(
        [],
        "Units whose features are concatenated in place of the pooled last ones, e.g. [layer3,layer4], as `tlexp plan` "
        "names them. A map is averaged over its places; of tokens the class token and the mean of the patches count; "
        "each unit's part is scaled to a root mean square of 1, so that none drowns the others (arXiv 2201.03529).",
    )
    global_pool: str | None = setting(
        None, f"timm's pooling of the last map or tokens: {', '.join(POOLS)}; null takes the model's own."
    )

    def problems(self) -> list[str]:
        """Return every broken rule of this group."""
        found = []
        if self.kind.hidden_layers and not self.hidden:
            found.append(f"head.hidden is empty: head={self.kind} needs hidden layers, e.g. 'head.hidden=[256]'")
        if not self.kind.hidden_layers and self.hidden:
            found.append(
                f"head.hidden={self.hidden} needs head=mlp or head=flatten_mlp: head={self.kind} has no hidden layers"
            )
        if any(not 1 <= width <= 65536 for width in self.hidden):
            found.append(f"head.hidden={self.hidden}: each width must be 1..65536")
        if not self.kind.hidden_layers and self.norm is not HeadNorm.none:
            found.append(
                f"head.norm={self.norm} needs head=mlp or head=flatten_mlp: head={self.kind} has no hidden layers"
            )
        if self.init is HeadInit.probe and self.kind is not HeadKind.linear:
            found.append(f"head.init=probe needs head=linear: head={self.kind} does not start from a linear probe")
        if self.kind.solved and self.dropout:
            found.append(
                f"head.dropout={self.dropout} needs a head that is trained, such as head=linear or head=mlp: "
                f"head={self.kind} is solved at once"
            )
        if self.scale is not None and self.kind is not HeadKind.cosine:
            found.append(f"head.scale={self.scale:g} needs head=cosine: head={self.kind} has no cosines")
        if self.scale is not None and not 0 < self.scale < float("inf"):
            found.append(f"head.scale={self.scale:g}: must be positive and finite, or null to be learned")
        if not 0 <= self.dropout < 1:
            found.append(f"head.dropout={self.dropout}: must be in [0, 1)")
        if self.global_pool is not None and self.global_pool not in POOLS:
            found.append(f"head.global_pool={self.global_pool}: must be one of {', '.join(POOLS)}, or null")
        named = f"head.units=[{','.join(self.units)}]"
        if self.units and self.kind.sees_map:
            found.append(f"{named}: head={self.kind} sees the last map alone, leave out head.units")
        if self.units and self.global_pool is not None:
            found.append(f"{named}: each unit is averaged, leave out head.global_pool={self.global_pool}")
        if len(set(self.units)) < len(self.units):
            found.append(f"{named}: name each unit once")
        if self.global_pool is not None and self.kind.sees_map:
            found.append(f"head.global_pool={self.global_pool}: head={self.kind} sees the map unpooled, leave it null")
        return found
