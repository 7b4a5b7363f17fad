"""Passes on what training tells, and shows the final fit's curves in the tracking store while it trains."""

from collections.abc import Callable, Mapping

from tlexp.train import Listener, on_curve

FINAL = "final"


class Live(Listener):
    """Listens for somebody else and for the tracking store.

    Attributes:
        steps: The steps whose points were shown.
    """

    def __init__(self, listener: Listener, show: Callable[[int, Mapping[str, float]], None]) -> None:
        self._listener, self._show = listener, show
        self._final, self._steps_in_all = False, 0
        self.steps: frozenset[int] = frozenset()

    def phase(self, title: str, steps: int) -> None:
        """Pass on; only the final fit is shown while it goes on."""
        self._final, self._steps_in_all = title == FINAL, steps
        self._listener.phase(title, steps)

    def step(self, step: int, values: dict[str, float]) -> None:
        """Pass on; show the steps that the fit's curve keeps."""
        self._listener.step(step, values)
        if self._final and on_curve(step, self._steps_in_all):
            self._show(step, {f"train/{name}": value for name, value in values.items()})
            self.steps |= {step}

    def ended(self) -> None:
        """Pass on."""
        self._listener.ended()

    def images(self, done: int, count: int) -> None:
        """Pass on."""
        self._listener.images(done, count)

    def message(self, text: str) -> None:
        """Pass on."""
        self._listener.message(text)

    def should_stop(self) -> int | None:
        """Pass on."""
        return self._listener.should_stop()
