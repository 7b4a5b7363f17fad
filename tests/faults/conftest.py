"""The fixtures of the cache's own tests."""

from tests.cache.conftest import store, told

__all__ = ["store", "told"]
