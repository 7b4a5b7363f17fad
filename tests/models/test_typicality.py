"""Distances to what was learned from, and what they mean."""

import numpy as np
import pytest
import torch
from torch import Tensor

from tlexp.models import typicality
from tlexp.models.typicality import ReferenceRows, Typicality, pool_tokens, reference_places


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_a_distance_is_the_mean_cosine_distance_to_the_nearest_three() -> None:
    rows, queries = drawn(9, 5), 7 * drawn(4, 5, seed=1)
    cosines = torch.cosine_similarity(queries[:, None], rows[None], dim=2).sort(dim=1, descending=True).values
    found = ReferenceRows.of(rows).distances(queries)
    assert torch.allclose(found, 1 - cosines[:, :3].mean(1), atol=1e-3)  # rows are rounded to half precision
    assert torch.allclose(
        ReferenceRows.of(rows[:2]).distances(rows[:1]), 1 - (1 + cosine(rows[0], rows[1])) / 2, atol=1e-3
    )


def cosine(one: Tensor, other: Tensor) -> Tensor:
    return torch.cosine_similarity(one, other, dim=0)


def test_of_tokens_the_mean_is_compared() -> None:
    tokens = drawn(4, 6, 5)
    pooled = pool_tokens(tokens.flatten(1), 5)
    assert torch.allclose(pooled, tokens.mean(1), atol=1e-6)
    reference = ReferenceRows.of(drawn(9, 5, seed=1))
    assert torch.equal(reference.distances(tokens.flatten(1)), reference.distances(pooled))


def test_half_precision_outside_does_not_reach_a_distance() -> None:
    reference, queries = ReferenceRows.of(drawn(9, 5)), drawn(4, 5, seed=1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(reference.distances(queries), plain := reference.distances(queries))
    assert torch.equal(plain, reference.distances(queries))


def test_what_was_stored_gives_the_same_bits() -> None:
    known = Typicality.of(ReferenceRows.of(drawn(50, 20)), np.random.default_rng(0).random(40).astype(np.float32))
    state = known.state()
    assert (state["rows"].dtype, state["held_out"].dtype) == (torch.float16, torch.float32)
    again, queries = Typicality.of_state(state), drawn(32, 20, seed=1)
    assert torch.equal(again.reference.distances(queries), known.reference.distances(queries))
    assert np.array_equal(again.held_out, known.held_out)


def test_images_like_the_held_out_ones_are_as_untypical_as_a_level_no_oftener_than_it_says() -> None:
    distances = np.random.default_rng(0).permutation(100).astype(np.float32)
    reference = ReferenceRows.of(drawn(3, 2))
    shares = [
        float(Typicality.of(reference, np.delete(distances, place)).typicalities(distances[place : place + 1])[0])
        for place in range(100)
    ]
    for level in (0.01, 0.05, 0.5):
        assert np.mean(np.array(shares) <= level) == pytest.approx(level)


def test_many_distances_are_thinned_evenly() -> None:
    distances = np.random.default_rng(0).random(20_000).astype(np.float32)
    known = Typicality.of(ReferenceRows.of(drawn(3, 2)), distances)
    assert len(known.held_out) == 4096
    assert (known.held_out[0], known.held_out[-1]) == (distances.min(), distances.max())
    found = known.typicalities(np.array([0.2, 0.9], np.float32))
    assert found == pytest.approx([(distances >= at).mean() for at in (0.2, 0.9)], abs=1e-3)
    assert known.least == 1 / 4097


def test_rows_have_a_limit_of_bytes_and_are_of_all_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = np.repeat([0, 1, 2], [70, 20, 10])
    assert np.array_equal(reference_places(labels, 4), np.arange(100))
    monkeypatch.setattr(typicality, "_ROW_BYTES", 45 * 2 * 4)
    places = reference_places(labels, 4)
    assert np.bincount(labels[places]).tolist() == [18, 17, 10]
    assert (np.diff(places) > 0).all()
    assert len(reference_places(labels, 10**9)) == 3
