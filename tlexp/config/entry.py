"""How deep training may enter a network, as far as the configuration alone can say."""

from dataclasses import dataclass
from enum import StrEnum

from tlexp.config.augment import AugmentConfig, AugmentKind
from tlexp.config.freeze import FreezeConfig, FreezeNorm, FreezePolicy
from tlexp.config.head import HeadConfig

EVERY_UNIT = "every one, which freeze=all does with features that are computed once, and with rates of its own"
"""Why a depth that leaves nothing of the backbone to train is not entered at the features."""


class EntryKind(StrEnum):
    """What training takes at most: images, what crosses a cut behind frozen units, or the features of all of them."""

    images = "images"
    prefix = "prefix"
    features = "features"


@dataclass(frozen=True, kw_only=True)
class EntryRule:
    """How deep training may enter a network.

    Attributes:
        kind: The deepest entry that is allowed; what the network allows is decided when it is opened.
        reason: Why not deeper; None at the features.
        uncut: Why the network cannot be cut between its units; None where the network decides.
    """

    kind: EntryKind
    reason: str | None
    uncut: str | None = None


def entry_rule(freeze: FreezeConfig, augment: AugmentConfig, head: HeadConfig, *, views: int) -> EntryRule:
    """Return how deep training may enter under a freeze policy.

    What frozen units make of an image is computed once only if leading units are frozen throughout, or for a phase,
    and if neither the images nor the units change meanwhile.

    Args:
        freeze: The policy.
        augment: How images are varied.
        head: What follows the backbone.
        views: Stored views of each image.

    >>> entry_rule(FreezeConfig(policy=FreezePolicy.last), AugmentConfig(), HeadConfig(), views=0).kind.value
    'prefix'
    """
    if not freeze.freezes_prefix:
        return EntryRule(kind=EntryKind.images, reason=trained_layers(freeze))
    varying = _varying(freeze, augment, views)
    if varying is not None:
        return EntryRule(kind=EntryKind.images, reason=varying)
    uncut = "head.units reads what several units make" if head.units else None
    if freeze.simplest is FreezePolicy.all or freeze.simplest.phased:
        return EntryRule(kind=EntryKind.features, reason=None, uncut=uncut)
    return EntryRule(kind=EntryKind.prefix, reason=EVERY_UNIT, uncut=uncut)


def trained_layers(freeze: FreezeConfig) -> str | None:
    """Return why layers of the backbone change in the course of training; None if none do."""
    if freeze.simplest is FreezePolicy.all:
        return None
    trains = "may train" if freeze.policy is FreezePolicy.depth else "trains"
    return f"freeze={freeze.policy} {trains} layers of the backbone: use freeze=all"


def _varying(freeze: FreezeConfig, augment: AugmentConfig, views: int) -> str | None:
    """Return why what frozen layers are shown or make changes in the course of training; None if it does not."""
    if freeze.norm is FreezeNorm.update:
        return "freeze.norm=update moves the statistics of frozen layers: use freeze.norm=follow"
    if augment.mixup or augment.cutmix:
        return "mixup and cutmix mix the images of each batch: leave out augment.mixup and augment.cutmix"
    if augment.kind is not AugmentKind.none and not views:
        return f"augment={augment.kind} draws new images at every step: use augment=none, or cache.views=8"
    return None
