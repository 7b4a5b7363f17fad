"""The sweeps that the tests of sweeps make up."""

from tests.sweeps.conftest import swept

__all__ = ["swept"]
