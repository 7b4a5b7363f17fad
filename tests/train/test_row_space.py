"""What a GPU does otherwise than a CPU: it holds more, works on more at once, and finds fewer axes."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from tlexp.errors import TrainingError
from tlexp.train import Problem, row_space, solve

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)
DrawRows = Callable[..., tuple[Tensor, Tensor]]


@pytest.fixture
def giving_up(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Let the eigenvalues of so many matrices not be found."""
    found, left = torch.linalg.eigh, [0]

    def eigh(gram: Tensor) -> tuple[Tensor, Tensor]:
        left[0] -= 1
        if left[0] >= 0:
            raise torch.linalg.LinAlgError("linalg.eigh: the algorithm failed to converge (error code: 99)")
        values, vectors = found(gram)
        return values, vectors

    monkeypatch.setattr(torch.linalg, "eigh", eigh)
    return lambda count: left.__setitem__(0, count)


@pytest.mark.parametrize("kind", ["ridge", "logreg"])
def test_axes_that_a_gpu_does_not_find_are_found_on_the_host(
    kind: str, draw_rows: DrawRows, giving_up: Callable[[int], None]
) -> None:
    rows, labels = draw_rows(30, 6, 3)
    problem = Problem(train=np.arange(20), validation=np.arange(20, 30))
    [[expected]] = solve(kind, rows, labels, [problem], num_classes=3, candidates=[0.1])
    giving_up(1)
    [[fitted]] = solve(kind, rows, labels, [problem], num_classes=3, candidates=[0.1])
    assert fitted.logits is not None
    assert expected.logits is not None
    assert torch.equal(fitted.logits, expected.logits)
    giving_up(2)
    with pytest.raises(TrainingError, match=r"axes of the features cannot be found .*failed to converge.*: use head="):
        solve(kind, rows, labels, [problem], num_classes=3, candidates=[0.1])


def test_a_gpu_holds_what_its_memory_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_space, "room_bytes", lambda device, host_bytes: 64 << 30)
    there = row_space._sizes_on(CUDA)
    assert there.held == 1 << 30
    assert row_space._sizes_on(CPU) == row_space._Sizes(held=1 << 25, block=1 << 21, stack=1 << 20)
    problems = [Problem(train=np.arange(1000))] * 50
    assert len(list(row_space.stacks(problems, 500, CUDA))) == 1
    assert len(list(row_space.stacks(problems, 500, CPU))) == 25


def test_rows_are_seen_to_be_finite_once_not_at_every_pass(
    draw_rows: DrawRows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looking makes a GPU wait."""
    looked: list[int] = []
    gather = row_space.gather
    monkeypatch.setattr(row_space, "gather", lambda rows, part: looked.append(len(part)) or gather(rows, part))
    monkeypatch.setattr(row_space, "_CPU_SIZES", row_space._Sizes(held=1, block=70, stack=1))
    rows, labels = draw_rows(30, 6, 3)
    solve("logreg", rows, labels, [Problem(train=np.arange(20))], num_classes=3, candidates=[0.1, 1.0])
    assert sum(looked) == 20
