import tlexp.cache


def test_public_names() -> None:
    assert tlexp.cache.__all__ == sorted(tlexp.cache.__all__)
    assert set(tlexp.cache.__all__) == {
        "POOLED", "CutInfo", "CutKey", "CutStore", "Removed", "Report", "Rows", "Store", "Use",
        "cache_folder", "compute_rows", "cut_key", "draw_view", "stack_digests",
    }  # fmt: skip
