"""What a run would train, without weights, images or training."""

from typing import Any

import numpy as np

from tlexp.config import Config
from tlexp.config.labels import parse_labels
from tlexp.data import Counts, budget_counts
from tlexp.experiment.build import Network, build_classifier, build_network
from tlexp.experiment.images import count_classes
from tlexp.models import Classifier, Unit, frozen_told, keeps_statistics
from tlexp.terminal import aligned
from tlexp.train import weigh_classes

SCHEMA = 3
"""Of the keys: 2 added `phases`, 3 `frozen`, operations and `images`."""


def build_plan(config: Config, counts: Counts | None = None) -> dict[str, Any]:
    """Return the plan as plain JSON values; parameters are counted, shapes are without the batch.

    Operations are multiply-adds of one image's forward pass. `frozen` says what the leading units that are wholly
    frozen are of the backbone, as shares, and how that depth was asked for; None where it was not by a depth.
    A unit's `norm` says what its BatchNorm statistics do: "eval" (they stay), "train" (they move), None (it has none).
    Units are told as in the last phase; `share` of a phase is its part of the steps, which add up to 1.

    Args:
        config: Of the run.
        counts: Of its images; None where only opening them could tell, and then the plan has none.

    Raises:
        ConfigError: The settings do not allow the run.
        DataError: The image folder has no classes.
    """
    network = build_network(config, meta=True)
    classes = count_classes(config, network.expected) if counts is None else len(counts.classes)
    classifier = build_classifier(config, network, classes)
    units = [_unit(classifier, unit) for unit in classifier.units]
    head = sum(parameter.numel() for parameter in classifier.head.parameters())
    backbone = sum(unit["parameters"] for unit in units)
    shares = network.freezing.shares(network.units)
    return {
        "schema": SCHEMA,
        "backbone": config.backbone.name,
        "policy": str(config.freeze.policy),
        "depth": network.depth,
        "frozen": {"asked": config.freeze.asked, "parameters": shares[0], "operations": shares[1]},
        "units": units,
        "backbone_parameters": backbone,
        "backbone_operations": sum(unit["operations"] for unit in units),
        "head_parameters": head,
        "trainable_parameters": head + sum(unit["trainable_parameters"] for unit in units),
        "total_parameters": backbone + head,
        "phases": _phases(network, units, head),
        "images": None if counts is None else _images(config, counts),
    }


def plan_table(plan: dict[str, Any]) -> str:
    """Return the plan for people."""
    rows = [("", "unit", "parameters", "operations", "trains", "BatchNorm", "output")]
    for unit in plan["units"]:
        shape = "x".join(map(str, unit["shape"])) if unit["shape"] else "-"
        trained = f"{unit['trainable_parameters']:,}" if unit["trainable"] else "frozen"
        counts = f"{unit['parameters']:,}", f"{unit['operations']:,}"
        rows.append((str(unit["index"]), unit["name"], *counts, trained, unit["norm"] or "-", shape))
    head = f"{plan['head_parameters']:,}"
    rows.append(("", "head", head, "", head, "-", ""))
    lines = aligned(rows, right=(0, 2, 3, 4))
    trainable, total = plan["trainable_parameters"], plan["total_parameters"]
    frozen = sum(not unit["trainable"] for unit in plan["units"])
    title = f"{plan['backbone']}, freeze={plan['policy']}: {frozen} of {len(plan['units'])} units wholly frozen"
    title += " in the end" if len(plan["phases"]) > 1 else ""
    trains = f"{trainable:,} of {total:,} parameters train ({trainable / total:.2%})"
    return "\n".join([title, "", *lines, "", *_phase_lines(plan), *_frozen_lines(plan), trains, *_image_lines(plan)])


def _frozen_lines(plan: dict[str, Any]) -> list[str]:
    """Return what a depth that was asked for comes to."""
    frozen = plan["frozen"]
    if frozen["asked"] is None:
        return []
    shares = {name: frozen[name] for name in ("parameters", "operations")}
    return [f"{frozen['asked']} freezes {frozen_told(plan['depth'], len(plan['units']), **shares)}"]


def _images(config: Config, counts: Counts) -> dict[str, Any]:
    """Return the images of each class in each split, how many the budget takes, and what each counts in the loss."""
    drawn = budget_counts(parse_labels(config.labels), counts.pool)
    weights = weigh_classes(config.train.class_weights, np.repeat(np.arange(len(drawn)), drawn), len(drawn))
    weighed = {"class_weights": dict(zip(counts.classes, weights, strict=True))} if weights else {}
    return {
        "pool": dict(zip(counts.classes, counts.pool, strict=True)),
        "held_out": dict(zip(counts.classes, counts.held_out, strict=True)),
        "labels": config.labels,
        "drawn": sum(drawn),
        **weighed,
        **_groups(config, counts),
    }


def _groups(config: Config, counts: Counts) -> dict[str, Any]:
    """Return how many groups the images are, where any are given."""
    if counts.groups is None:
        return {}
    pool, held_out = counts.groups
    stated, leaked = f"data.group={config.data.group}", {"leaked": counts.leaked} if counts.leaked else {}
    if leaked:
        stated += f", data.on_leak={config.data.on_leak}"
    return {"groups": {"stated": stated, "pool": pool, "held_out": held_out, **leaked}}


def _image_lines(plan: dict[str, Any]) -> list[str]:
    """Return a line on the images where they are counted."""
    if (images := plan["images"]) is None:
        return []
    pool, held_out = images["pool"].values(), images["held_out"].values()
    told = [
        f"labels={images['labels']} draws {images['drawn']:,} of {sum(pool):,} images of {len(pool)} classes "
        f"(the smallest has {min(pool):,}); {sum(held_out):,} others are held out for testing; "
        "reading leaves out copies"
    ]
    if groups := images.get("groups"):
        parts = f"they are {groups['pool']:,} groups to learn from and {groups['held_out']:,} to test on"
        shared = groups.get("leaked", 0)
        kept = f"{shared:,} of which are on both sides" if shared else "which no split parts"
        told.append(f"{parts}, {kept} ({groups['stated']})")
    if weights := images.get("class_weights", {}).values():
        told.append(f"in the loss an image counts {min(weights):.3g} to {max(weights):.3g}, by its class")
    return told


def _phase_lines(plan: dict[str, Any]) -> list[str]:
    """Return a line for each phase where there are several."""
    phases = plan["phases"]
    if len(phases) < 2:
        return []
    lines = [
        f"phase {number}: {phase['share']:.1%} of the steps, {phase['depth']} of {len(plan['units'])} units frozen, "
        f"{phase['trainable_parameters']:,} parameters train"
        for number, phase in enumerate(phases, start=1)
    ]
    return [*lines, ""]


def _phases(network: Network, units: list[dict[str, Any]], head: int) -> list[dict[str, Any]]:
    """Return what each phase trains."""
    last, begun, phases = network.phases[-1].depth, 0.0, []
    for phase in network.phases:
        held = sum(unit["trainable_parameters"] for unit in units[last : phase.depth])
        trained = head + sum(unit["trainable_parameters"] for unit in units) - held
        phases.append({"share": phase.until - begun, "depth": phase.depth, "trainable_parameters": trained})
        begun = phase.until
    return phases


def _unit(classifier: Classifier, unit: Unit) -> dict[str, Any]:
    parameters = [classifier.backbone.get_parameter(name) for name in unit.parameters]
    trained = sum(parameter.numel() for parameter in parameters if parameter.requires_grad)
    modules = map(classifier.backbone.get_submodule, unit.modules)
    moving = [module.training for module in modules if keeps_statistics(module)]
    return {
        "index": unit.index,
        "name": unit.name,
        "parameters": sum(parameter.numel() for parameter in parameters),
        "operations": unit.operations,
        "trainable_parameters": trained,
        "trainable": trained > 0,
        "norm": ("train" if any(moving) else "eval") if moving else None,
        "shape": None if unit.shape is None else list(unit.shape),
    }
