"""Writes the table of timm's model names: `python -m tlexp.models.timm_names`."""

import timm
from timm.models import get_arch_pretrained_cfgs, list_models, split_model_name_tag

from tlexp.config.timm_names import TABLE
from tlexp.paths import publish


def table_text() -> str:
    """Return the names that the installed timm has, behind a line with its version."""
    lines = [f"# timm {timm.__version__}"]
    for architecture in sorted(list_models()):
        tags = {split_model_name_tag(name)[1] for name in get_arch_pretrained_cfgs(architecture)} - {""}
        lines.append(" ".join([architecture, *sorted(tags)]))
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    publish(TABLE, table_text())
