"""A network with all that stands around it: fitted images (B, S, S, 3) uint8 -> probabilities (B, K) float32."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from tlexp.errors import WeightsError
from tlexp.formats.format import Trained, formats_told
from tlexp.models.neighbours import Neighbours

INPUT, OUTPUT = "images", "probabilities"


class Standalone(nn.Module):
    """Normalisation, backbone, head, temperature, class frequencies and softmax, as one graph of tensors.

    The head's layers are called one by one: `Classifier` and `Head` chunk and cast as training needs it.

    Args:
        trained: The network.
    """

    mean: Tensor
    std: Tensor
    offsets: Tensor

    def __init__(self, trained: Trained) -> None:
        super().__init__()
        card, classifier = trained.card, trained.classifier
        self.backbone = classifier.backbone
        self.layers = nn.ModuleList(_traceable(layer) for layer in classifier.head.children())
        self.temperature = card.temperature
        for name, values in (("mean", card.preprocessing.mean), ("std", card.preprocessing.std)):
            self.register_buffer(name, torch.tensor(values).view(1, 3, 1, 1))
        shift = torch.zeros(len(card.classes)) if card.prior is None else torch.from_numpy(card.prior.offsets).float()
        self.register_buffer("offsets", shift)
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        """Return the probabilities."""
        values = self.backbone((images.permute(0, 3, 1, 2).float() / 255 - self.mean) / self.std).float()
        for layer in self.layers:
            values = layer(values)
        probabilities: Tensor = (values / self.temperature + self.offsets).softmax(1)
        return probabilities


def exported_program(trained: Trained) -> torch.export.ExportedProgram:
    """Return the network's graph for batches of any size.

    Raises:
        WeightsError: torch cannot trace the architecture.
    """
    side = trained.card.preprocessing.image_size
    example = torch.zeros(2, side, side, 3, dtype=torch.uint8)  # one image alone would be taken for a constant
    shapes = {INPUT: {0: torch.export.Dim("batch")}}
    try:
        with torch.no_grad():
            return torch.export.export(Standalone(trained), (example,), dynamic_shapes=shapes)
    except Exception as error:  # torch.export raises whatever the traced code or its solver does
        reason = next(_lines(error), type(error).__name__)
        raise WeightsError(
            f"{trained.card.backbone} cannot be traced for batches of any size ({reason}): choose {formats_told()}"
        ) from error


def _lines(error: Exception) -> Iterator[str]:
    return (line.strip() for line in str(error).splitlines() if line.strip())


def _traceable(layer: nn.Module) -> nn.Module:
    return layer.fixed() if isinstance(layer, Neighbours) else layer
