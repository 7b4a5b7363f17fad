"""A backbone as a graph of what it computes in one mode: traced with torch.fx, unit by unit.

Whatever stands in one unit is one node, followed no further: its inside is torch's own code as ever, in training and in
evaluation alike, dropout and stochastic depth included. Only what joins the units is followed, with timm's own list of
modules and functions that torch.fx must not look into.
"""

import contextlib
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

from timm.layers import get_notrace_functions, get_notrace_modules
from torch import fx, nn
from torchvision.models.feature_extraction import NodePathTracer

from tlexp.models.units import NECK, Unit

_MADE_BY_TRACING = "_tensor_constant"


class CutError(Exception):
    """A backbone cannot be cut between two units; the reason in words. It freezes as correctly without."""


class Catalogue:
    """Numbers for what nodes compute: equal numbers, equal values, in whichever trace of one backbone."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[Any, ...], int] = {}

    def number(self, graph: fx.Graph) -> dict[fx.Node, int]:
        """Return the number of each node; what is random never gets the number of anything else in eval."""
        found: dict[fx.Node, int] = {}
        for node in graph.nodes:
            inputs = fx.node.map_arg((node.args, node.kwargs), lambda each: _Number(found[each]))
            key = (node.op, node.target, repr(inputs))
            found[node] = self._numbers.setdefault(key, len(self._numbers))
        return found


class _Number(int):
    """A node among arguments, told from a plain number."""

    def __repr__(self) -> str:
        return f"%{int(self)}"


class Trace:
    """What a backbone computes in the mode that its modules are in.

    Attributes:
        graph: images -> features.
        names: Node -> path of the module that it comes from, with the operation's name where that is not the module.
        numbers: Node -> what it computes.
    """

    def __init__(self, backbone: nn.Module, units: Sequence[Unit], catalogue: Catalogue) -> None:
        tracer = _Tracer(_single(units))
        before = set(vars(backbone))
        try:
            self.graph = tracer.trace(backbone)
        except Exception as error:
            raise CutError(f"torch.fx cannot follow it ({first_line(error)})") from error
        finally:
            made = [name for name in vars(backbone).keys() - before if name.startswith(_MADE_BY_TRACING)]
            for name in made:
                delattr(backbone, name)
        if made:
            raise CutError("it makes tensors of its own between its units")
        self.names: dict[fx.Node, str] = dict(tracer.node_to_qualname)
        self.numbers = catalogue.number(self.graph)


class _Tracer(NodePathTracer):  # type: ignore[misc]
    """Follows what joins the units.

    Args:
        single: Names of modules that stand in one unit.
    """

    proxy_buffer_attributes = True

    def __init__(self, single: Collection[str]) -> None:
        super().__init__(leaf_modules=get_notrace_modules(), autowrap_functions=tuple(get_notrace_functions()))
        self._single = single

    def create_args_for_root(self, root_fn: Any, is_module: bool, concrete_args: Any = None) -> Any:
        """Follow what is done with images alone; options such as masks keep their defaults."""

        def forward(module: nn.Module, images: Any) -> Any:
            return root_fn(module, images)

        return super().create_args_for_root(forward, is_module, concrete_args)

    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        """Return whether a module is one node."""
        return name in self._single or super().is_leaf_module(module, name)


def _single(units: Sequence[Unit]) -> set[str]:
    """Return the modules that stand in one unit with all that is below them.

    The neck is followed, for pooling in front of a norm makes far less cross.
    """
    owners: dict[str, set[int]] = {}
    for unit in units:
        for name in unit.modules:
            pieces = name.split(".")
            for end in range(1, len(pieces) + 1):
                owners.setdefault(".".join(pieces[:end]), set()).add(unit.index)
    neck = {unit.index for unit in units if unit.name == NECK}
    return {name for name, found in owners.items() if len(found) == 1 and not found & neck and name}


def first_line(error: Exception) -> str:
    """Return what an error says, in short."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:120]}" if lines else type(error).__name__


def runnable(graph: fx.Graph, backbone: nn.Module) -> Callable[..., Any]:
    """Return a function that computes a graph with the backbone's own modules, wherever they are by then."""
    graph.lint()
    code = graph.python_code("self")
    names: dict[str, Any] = dict(code.globals)
    exec(compile(code.src, "<cut backbone>", "exec"), names)
    forward = names["forward"]
    return lambda *inputs: forward(backbone, *inputs)


@contextlib.contextmanager
def in_modes(backbone: nn.Module, still: Collection[str]) -> Iterator[None]:
    """Put the named modules into evaluation and all others into training, for a while."""
    before = [(module, module.training) for module in backbone.modules()]
    for name, module in backbone.named_modules():
        module.training = name not in still
    try:
        yield
    finally:
        for module, mode in before:
            module.training = mode
