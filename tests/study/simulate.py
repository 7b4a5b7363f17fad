"""Simulated studies."""

import itertools, argparse, sys, time
from collections.abc import Iterator
from dataclasses import dataclass, replace
import numpy as np
from scipy.special import ndtr, ndtri, stdtrit
from tlexp.study.crossfit import crossfit, highest, cheapest_within
from tlexp.study.intervals import Spread, TestImages, spread


@dataclass(frozen=True, kw_only=True)
class Kind:
    accuracy: tuple[float, ...]
    seeds: int = 5
    images: int = 600
    shares: tuple[float, ...] = (0.2,) * 5
    common: float = 0.1
    seed: float = 0.08
    image: float = 0.8
    taste: float = 0.4
    rest: float = 0.7

    @property
    def labels(self):
        counts = np.maximum(1, np.round(np.array(self.shares) * self.images)).astype(int)
        return np.repeat(np.arange(len(counts)), counts)

    @property
    def scale(self):
        return float(np.sqrt(self.common**2 + self.seed**2 + self.image**2 + self.taste**2 + self.rest**2))

    def draw(self, studies, generator):
        C, S, n = len(self.accuracy), self.seeds, len(self.labels)

        def normal(*shape):
            return generator.standard_normal(shape, dtype=np.float32)

        latent = normal(studies, C, S, n) * np.float32(self.rest)
        latent += self.common * normal(studies, 1, S, 1) + self.seed * normal(studies, C, S, 1)
        latent += self.image * normal(studies, 1, 1, n) + self.taste * normal(studies, C, 1, n)
        start = (ndtri(np.array(self.accuracy)) * self.scale).astype(np.float32)
        return (latent > -start[:, None, None]).astype(np.float32)


def satt(s, family):
    tail = 1 - 0.05 / family / 2
    v1, v2 = s.seed_variance, s.image_variance
    nu = (v1 + v2) ** 2 / (v1**2 / (s.per_seed.shape[-1] - 1) + v2**2 / s.image_freedom)
    return stdtrit(nu, tail) * np.sqrt(v1 + v2)


def study(kind, studies, seed):
    g = np.random.default_rng(seed)
    images = TestImages(labels=kind.labels)
    C = len(kind.accuracy)
    pairs = list(itertools.combinations(range(C), 2))
    chunk = max(1, 4_000_000 // (C * kind.seeds * len(kind.labels)))
    out = {k: [] for k in ("cover", "satt", "alone", "width", "wsatt", "cross", "naive", "cellcover")}
    for start in range(0, studies, chunk):
        m = min(chunk, studies - start)
        x = kind.draw(m, g)
        ok = np.ones(m, bool)
        oks = np.ones(m, bool)
        for i, j in pairs:
            s = spread(x[:, i] - x[:, j], images)
            e = np.abs(s.value - (kind.accuracy[i] - kind.accuracy[j]))
            h = s.half_width(len(pairs))
            hs = satt(s, len(pairs))
            ok &= e <= h
            oks &= e <= hs
            if (i, j) == (0, 1):
                out["alone"].append(e <= s.half_width())
                out["width"].append(h)
                out["wsatt"].append(hs)
        out["cover"].append(ok)
        out["satt"].append(oks)
        s = spread(x[:, 0], images)
        out["cellcover"].append(np.abs(s.value - kind.accuracy[0]) <= s.half_width())
        if len(set(kind.accuracy)) == 1:
            out["cross"].append(spread(crossfit(x, images, highest), images).value - kind.accuracy[0])
            out["naive"].append((x @ images.weights.astype(np.float32)).mean(-1).max(1) - kind.accuracy[0])
    return {k: float(np.concatenate(v).mean()) for k, v in out.items() if v}


if __name__ == "__main__":
    N = int(sys.argv[1])
    for name, base in {
        "equal": Kind(accuracy=(0.75,) * 5),
        "seeds": Kind(accuracy=(0.75,) * 5, seed=0.25, taste=0.2),
        "high": Kind(accuracy=(0.98,) * 5),
        "unbal": Kind(accuracy=(0.75,) * 5, shares=(0.5, 0.25, 0.15, 0.07, 0.03)),
        "few": Kind(accuracy=(0.8, 0.79, 0.77, 0.7, 0.6), shares=(0.02,) * 50),
    }.items():
        for S in (3, 5, 10):
            for n in (200, 600, 2000):
                t0 = time.time()
                r = study(replace(base, seeds=S, images=n), N, 1)
                print(name, S, n, {k: round(v, 4) for k, v in r.items()}, round(time.time() - t0, 1), flush=True)
