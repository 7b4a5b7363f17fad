"""What training tells while it goes on, and what it asks."""


class Listener:
    """Hears of a fit's progress. Every method does nothing here; override what is needed.

    The calls come from the training loop itself, so a slow listener slows training.
    """

    def phase(self, title: str, steps: int) -> None:
        """Hear that a phase of `steps` steps begins or is taken up again."""

    def step(self, step: int, values: dict[str, float]) -> None:
        """Hear of a finished step, in order: `step` counts from 1, `values` holds loss and lr.

        On an accelerator several steps are told at once, because reading a loss makes the device wait.
        """

    def looks(self, steps: int, images: int) -> frozenset[int]:
        """Return the steps of a fit after which the loss on its validation part is wanted; asked when it begins.

        Args:
            steps: Of the fit.
            images: Of its validation part.
        """
        return frozenset()

    def validated(self, fit_id: str, step: int, steps: int, loss: float) -> None:
        """Hear of the loss on the validation part after a step that `looks` named.

        Raises:
            PrunedError: The run is to end here.
        """

    def ended(self) -> None:
        """Hear that the phase is over, or was broken off."""

    def closing(self) -> None:
        """Hear that the end of the run is being written, which should not be interrupted."""

    def images(self, done: int, count: int) -> None:
        """Hear how many of `count` images have been read."""

    def message(self, text: str) -> None:
        """Hear one line for people."""

    def should_stop(self) -> int | None:
        """Return the number of the signal that asks to stop, or None; asked before every step."""
        return None
