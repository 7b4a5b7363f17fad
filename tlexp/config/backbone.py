"""`conf/backbone`: which pretrained network, from which weights, on images of which size."""

from dataclasses import dataclass

from tlexp.config.preprocessing import INTERPOLATIONS
from tlexp.config.setting import setting
from tlexp.paths import packaged_weights

PACKAGED = "tlexp:"
"""What names of weights that come with the package begin with."""
PIXELS = "pixels"
"""The name of the backbone that is none: raw pixels, without weights and without units."""


def backbone_told(name: str, weights: str) -> str:
    """Return a backbone's name for people: packaged weights have one of their own, by which they are chosen.

    >>> backbone_told("test_resnet", "tlexp:tiny"), backbone_told("resnet18", "random (seed 5)")
    ("tiny (timm's test_resnet)", 'resnet18')
    """
    own = weights.removeprefix(PACKAGED)
    return name if own == weights else f"{own} (timm's {name})"


def missing_weights(path: object) -> str:
    """Return what is said where nothing lies at the path that `backbone.weights` names."""
    return (
        f"backbone.weights={path}: there is no such file; name a .safetensors or .pth file, a folder or a run's "
        "folder, or leave backbone.weights null for the pretrained weights"
    )


@dataclass
class BackboneConfig:
    """The backbone. What is null comes from the model's own pretrained configuration."""

    name: str = setting(
        "", "timm model name, with or without a weights tag, e.g. resnet50.a1_in1k; or pixels, no network."
    )
    pretrained: bool = setting(
        True, "Start from pretrained weights, those of tlexp:<name> included; false starts from random ones."
    )
    calibrate: bool = setting(
        False,
        "Random weights as a control: no residual branch starts silent, and BatchNorm takes its statistics from the "
        "images of the label budget; needs pretrained=false.",
    )
    weights: str | None = setting(
        None,
        "Own weights: a .safetensors or .pth file, a folder, a run's folder, or runs:/<MLflow run id>; or "
        "tlexp:<name>, weights that come with the package.",
    )
    image_size: int | None = setting(None, "Side of the square input in pixels, 8..2048.")
    mean: list[float] | None = setting(None, "Mean of the normalisation, three values in [0, 1].")
    std: list[float] | None = setting(None, "Standard deviation of the normalisation, three values in (0, 1].")
    interpolation: str | None = setting(None, f"Resampling when images are resized: {', '.join(INTERPOLATIONS)}.")
    crop_pct: float | None = setting(None, "Side of the centre crop as a fraction of the resized short side, (0, 1].")
    drop_rate: float = setting(0.0, "Dropout in front of the head and where the architecture has it, [0, 1).")
    drop_path_rate: float | None = setting(
        None, "Stochastic depth in the trainable part, [0, 1); null takes the architecture's own default."
    )

    def problems(self) -> list[str]:
        """Return every broken rule of this group."""
        found = []
        if not self.name:
            found.append("backbone.name is empty: name a timm model, e.g. backbone=timm backbone.name=resnet26")
        if self.image_size is not None and not 8 <= self.image_size <= 2048:
            found.append(f"backbone.image_size={self.image_size}: must be 8..2048 pixels, or null for the model's own")
        for key, values, low in (("mean", self.mean, 0.0), ("std", self.std, 1e-6)):
            if values is not None and (len(values) != 3 or not all(low <= value <= 1 for value in values)):
                found.append(f"backbone.{key}={values}: must be three values in [{low:g}, 1], or null")
        if self.interpolation is not None and self.interpolation not in INTERPOLATIONS:
            found.append(f"backbone.interpolation={self.interpolation}: must be one of {', '.join(INTERPOLATIONS)}")
        if self.crop_pct is not None and not 0 < self.crop_pct <= 1:
            found.append(f"backbone.crop_pct={self.crop_pct}: must be in (0, 1], or null for the model's own")
        if not 0 <= self.drop_rate < 1:
            found.append(f"backbone.drop_rate={self.drop_rate}: must be in [0, 1)")
        if self.drop_path_rate is not None and not 0 <= self.drop_path_rate < 1:
            found.append(f"backbone.drop_path_rate={self.drop_path_rate}: must be in [0, 1), or null")
        if self.weights is not None and not self.weights.strip():
            found.append("backbone.weights is empty: name a file, a folder or runs:/<id>, or null")
        if self.packaged is not None and self.packaged not in packaged_weights():
            known = ", ".join(PACKAGED + name for name in packaged_weights())
            found.append(f"backbone.weights={self.weights}: no such weights come with the package; there are {known}")
        if self.name == PIXELS:
            stated = ("weights", "calibrate", "drop_rate", "drop_path_rate")
            return found + [
                f"backbone.{key}={getattr(self, key)}: backbone=pixels has no weights and no layers, leave it out"
                for key in stated
                if getattr(self, key)
            ]
        if self.calibrate and not self.random_start:
            found.append(
                "backbone.calibrate=true prepares random weights for being frozen, but the start is pretrained: use "
                "backbone.pretrained=false"
                + (" without backbone.weights" if self.weights and self.packaged is None else "")
                + ", or leave backbone.calibrate out"
            )
        return found

    @property
    def packaged(self) -> str | None:
        """The name of the weights that come with the package, where `weights` names such."""
        return self.weights.removeprefix(PACKAGED) if self.weights and self.weights.startswith(PACKAGED) else None

    @property
    def random_start(self) -> bool:
        """Whether the weights are random; packaged weights are pretrained ones, so `pretrained=false` leaves them.

        Raw pixels have none.
        """
        return self.name != PIXELS and not self.pretrained and (self.weights is None or self.packaged is not None)
