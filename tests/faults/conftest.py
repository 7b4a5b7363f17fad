"""The fixtures of the cache's own tests."""

from tests.cache.conftest import again, store, told

__all__ = ["again", "store", "told"]
