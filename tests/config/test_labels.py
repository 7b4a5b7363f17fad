import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlexp.config.labels import LabelBudget, parse_labels


@given(st.integers(1, 10**9))
def test_a_count_is_kept_and_its_text_is_canonical(count: int) -> None:
    assert parse_labels(f"00{count}") == LabelBudget(per_class=count)
    assert str(parse_labels(str(count))) == str(count)


@given(st.floats(1e-6, 1, exclude_max=True))
def test_a_fraction_survives_its_own_text(fraction: float) -> None:
    assert parse_labels(str(LabelBudget(fraction=fraction))) == LabelBudget(fraction=fraction)


@pytest.mark.parametrize("text", ["0", "2.5", "1.0", "-3", "0.0", "", "ten", "nan", "inf", "20%", "1_000", "٣"])
def test_what_is_no_budget_is_refused_with_the_rule(text: str) -> None:
    with pytest.raises(ValueError, match=r"whole number from 1 .* or all, e\.g\. labels=20"):
        parse_labels(text)
