import timm
from timm.models import model_entrypoint

from tlexp.config.timm_names import TABLE
from tlexp.models.timm_names import table_text


def test_the_table_has_the_names_of_the_installed_timm() -> None:
    head, *lines = TABLE.read_text().splitlines()
    now, *listed = table_text().splitlines()
    # Other tests of this process register models of their own.
    names = [line for line in listed if model_entrypoint(line.split()[0]).__module__.startswith("timm.")]
    have = {line.partition(" ")[0]: set(line.split()[1:]) for line in names}
    gone = {line for line in lines if not set(line.split()[1:]) <= have.get(line.partition(" ")[0], set("-"))}
    assert not gone, "python -m tlexp.models.timm_names writes the table anew"
    if head == now == f"# timm {timm.__version__}":
        assert lines == names
