"""`conf/cache`: whether what the frozen layers make of an image is kept for other runs."""

from dataclasses import dataclass
from enum import StrEnum

from tlexp.config.setting import setting


class CacheMode(StrEnum):
    """auto = kept where it can be and pays; on = it must be; off = computed anew by every run, with the same result."""

    auto = "auto"
    on = "on"
    off = "off"


@dataclass
class CacheConfig:
    """The feature cache. It changes how long a run takes, never what it computes; `views` alone does that."""

    mode: CacheMode = setting(CacheMode.auto, "auto, on or off.", key=False)
    views: int = setting(
        0,
        "Augmented views that are drawn of each training image, once and for all; 0 draws anew at every step, which "
        "no cache can keep.",
    )
    dir: str | None = setting(
        None,
        "Folder; null takes the environment variable TLEXP_CACHE_DIR, else the user's own cache folder.",
        key=False,
    )
    max_bytes: int = setting(
        20_000_000_000, "Above this, what was used least recently is removed; bytes, at least 0.", key=False
    )

    def problems(self) -> list[str]:
        """Return every broken rule of this group."""
        found = []
        if not 0 <= self.views <= 1024:
            found.append(f"cache.views={self.views}: must be 0..1024")
        if self.max_bytes < 0:
            found.append(f"cache.max_bytes={self.max_bytes}: must be at least 0")
        return found
