import dataclasses

import pytest

from tlexp.errors import ConfigError
from tlexp.formats import EXTRAS, ExportFormat, format_of


@pytest.mark.parametrize("name", [name for name in ExportFormat if name is not ExportFormat.tlexp])
def test_every_format_has_its_module(name: ExportFormat) -> None:
    if name not in EXTRAS:
        assert dataclasses.is_dataclass(format_of(name))


def test_a_package_that_is_missing_is_named_with_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(EXTRAS, "onnx", ("torch", "no_such_package"))
    with pytest.raises(ConfigError, match=r"--format onnx needs no_such_package, .*: pip install 'tlexp\[onnx\]'"):
        format_of(ExportFormat.onnx)
