"""What a run would train, without weights, images or training."""

from pathlib import Path
from typing import Any

from tlexp.assembly import Network, build_classifier, build_network, timm_set
from tlexp.config import Config
from tlexp.config.freeze import FreezeNorm
from tlexp.data import source_classes
from tlexp.models import keeps_statistics

SCHEMA = 1


def build_plan(config: Config) -> dict[str, Any]:
    """Return the plan as plain JSON values; parameters are counted, shapes are without the batch.

    A unit's `norm` says what its BatchNorm statistics do: "eval" (they stay), "train" (they move), None (it has none).

    Raises:
        ConfigError: The settings do not allow the run.
        DataError: The image folder has no classes.
    """
    data = config.data
    root = None if data.root is None else Path(data.root).expanduser()
    classes = source_classes(
        data.source,
        root=root,
        columns=data.columns,
        timm=timm_set(config),
        classes=data.classes,
        at_least=data.at_least,
        follow_links=data.follow_links,
        num_classes=data.num_classes,
    )
    network = build_network(config, meta=True)
    classifier = build_classifier(config, network, len(classes) + (data.neither is not None))
    units = [_unit(network, index, config.freeze.norm) for index in range(len(network.units))]
    head = sum(parameter.numel() for parameter in classifier.head.parameters())
    backbone = sum(unit["parameters"] for unit in units)
    return {
        "schema": SCHEMA,
        "backbone": config.backbone.name,
        "policy": str(config.freeze.policy),
        "depth": network.depth,
        "units": units,
        "backbone_parameters": backbone,
        "head_parameters": head,
        "trainable_parameters": head + sum(unit["trainable_parameters"] for unit in units),
        "total_parameters": backbone + head,
    }


def plan_table(plan: dict[str, Any]) -> str:
    """Return the plan for people."""
    rows = [("", "unit", "parameters", "trains", "BatchNorm", "output")]
    for unit in plan["units"]:
        shape = "x".join(map(str, unit["shape"])) if unit["shape"] else "-"
        trained = f"{unit['trainable_parameters']:,}" if unit["trainable"] else "frozen"
        rows.append((str(unit["index"]), unit["name"], f"{unit['parameters']:,}", trained, unit["norm"] or "-", shape))
    head = f"{plan['head_parameters']:,}"
    rows.append(("", "head", head, head, "-", ""))
    widths = [max(len(row[column]) for row in rows) for column in range(6)]
    lines = [
        "  ".join(
            cell.rjust(width) if column in (0, 2, 3) else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    trainable, total = plan["trainable_parameters"], plan["total_parameters"]
    title = f"{plan['backbone']}, freeze={plan['policy']}: {plan['depth']} of {len(plan['units'])} units frozen"
    return "\n".join([title, "", *lines, "", f"{trainable:,} of {total:,} parameters train ({trainable / total:.2%})"])


def _unit(network: Network, index: int, norm: FreezeNorm) -> dict[str, Any]:
    unit = network.units[index]
    parameters = sum(network.backbone.get_parameter(name).numel() for name in unit.parameters)
    trains = index >= network.depth
    has_statistics = any(map(keeps_statistics, map(network.backbone.get_submodule, unit.modules)))
    moves = {FreezeNorm.follow: trains, FreezeNorm.keep: False, FreezeNorm.update: True}[norm]
    return {
        "index": index,
        "name": unit.name,
        "parameters": parameters,
        "trainable_parameters": parameters if trains else 0,
        "trainable": trains,
        "norm": ("train" if moves else "eval") if has_statistics else None,
        "shape": None if unit.shape is None else list(unit.shape),
    }
