import tlexp.cache


def test_the_public_names_are_these() -> None:
    assert set(tlexp.cache.__all__) == {
        "POOLED", "CutInfo", "CutKey", "CutRows", "Removed", "CacheReport", "Rows", "Store", "Use",
        "cache_folder", "compute_rows", "cut_key", "draw_view", "fill_together", "stack_digests",
    }  # fmt: skip
