from hypothesis import given
from hypothesis import strategies as st

from tlexp.config.protocol import protocol_batch_size, protocol_steps


@given(st.integers(1, 10**7))
def test_training_length_is_thirty_epochs_within_its_bounds(images: int) -> None:
    batch, steps = protocol_batch_size(images), protocol_steps(images)
    assert batch == min(32, images)
    assert 200 <= steps <= 5000
    if 200 < steps < 5000:
        assert steps * batch >= 30 * images
