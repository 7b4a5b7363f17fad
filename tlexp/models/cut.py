"""A backbone cut between two units: the frozen prefix up to what crosses, and the trainable suffix from there.

images (B, 3, S, S) float32 normalised -> rows (B, D) -> features (B, D'). Both parts compute with the backbone's own
modules, so that training the suffix trains the backbone, and nothing in its state has another name.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from tlexp.models.crossing import Form, UnfitError, form_of, forms_in, look, pack, restored, row_dtype, unpack
from tlexp.models.tracing import Catalogue, CutError, Trace, first_line, in_modes, runnable
from tlexp.models.units import Unit

Piece = Callable[[Tensor], Tensor]

_STEADY = (
    nn.Identity,
    nn.Flatten,
    nn.modules.pooling._AdaptiveAvgPoolNd,
    nn.modules.pooling._AdaptiveMaxPoolNd,
    nn.modules.pooling._AvgPoolNd,
    nn.modules.pooling._MaxPoolNd,
)
"""Modules that do the same in training and in evaluation: they may stand in front of a cut though their unit trains."""
_ATTEMPTS = 4
_TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-6}
"""Of the two parts against the whole, as a fraction of the largest value."""
_HALF_TOLERANCE = 5e-2
"""The same where anything is computed in half precision: a float32 sum of such terms carries their noise."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Cut:
    """A place where a backbone is cut.

    Attributes:
        depth: Units in front of it.
        name: What crosses, in the order of the trace, and how a row holds it.
        width: D, values per image.
        dtype: Of the rows.
        crossing: The values that cross, as nodes of the trace.
        forms: Of each of them.
    """

    depth: int
    name: str
    width: int
    dtype: torch.dtype
    crossing: tuple[fx.Node, ...]
    forms: tuple[Any, ...]
    _suffixes: tuple[Piece, Piece]

    @property
    def row_bytes(self) -> int:
        """Bytes per image."""
        return self.width * self.dtype.itemsize

    def suffix(self, rows: Tensor, *, training: bool) -> Tensor:
        """Return the features of rows (B, width), which may be written into.

        Args:
            rows: What crosses.
            training: Which of the two traces is taken; modules are in the mode that they are in.
        """
        return self._suffixes[training](rows)


class Cutter:
    """Cuts one backbone between its units.

    Args:
        backbone: On its device.
        units: Its units.
        images: Three, as the backbone will be given them: device, memory format and autocast decide what crosses.

    Raises:
        CutError: The backbone cannot be followed.
    """

    def __init__(self, backbone: nn.Module, units: Sequence[Unit], images: Tensor) -> None:
        assert len(images) == 3
        self._backbone, self._units, self._images = backbone, tuple(units), images
        self._catalogue = Catalogue()
        with self._frozen(len(units)):
            self._trace = Trace(backbone, units, self._catalogue)
            try:
                with torch.no_grad():
                    self._features: Tensor = backbone(images)
                    two, three = (_looks(self._trace.graph, backbone, images[:count]) for count in (2, 3))
            except Exception as error:
                raise CutError(f"its trace does not run ({first_line(error)})") from error
        self._forms: dict[int, Any] = {}
        for node, number in self._trace.numbers.items():
            try:
                self._forms[number] = form_of(two[node], three[node])
            except UnfitError as error:
                self._forms[number] = error
        self._order = {node: place for place, node in enumerate(self._trace.graph.nodes)}
        self._owners = _owners(self._trace.graph, backbone, self._units)

    def cut(self, depth: int, *, still: Collection[str] | None = None) -> Cut:
        """Return the cut behind so many units, where least crosses.

        Args:
            depth: Units in front of the cut.
            still: Modules that stay in evaluation while the others train; None for those in front of the cut.

        Raises:
            CutError: There is none; says why.
        """
        assert 0 < depth < len(self._units)
        with self._frozen(depth) if still is None else in_modes(self._backbone, still):
            training = Trace(self._backbone, self._units, self._catalogue)
        reason = "nothing is computed of the images alone before its next unit begins"
        for crossing in self._candidates(depth)[:_ATTEMPTS]:
            try:
                cut = self._build(depth, crossing, training)
                self._check(cut)
            except CutError as error:
                reason = str(error)
            else:
                return cut
        raise CutError(reason)

    def whole(self) -> Cut:
        """Return the cut behind the last unit, where the features cross, in float32.

        Raises:
            CutError: They are not one vector per image.
        """
        [features] = next(reversed(self._trace.graph.nodes)).all_input_nodes
        form = self._form(features)
        if not isinstance(form, Form):
            raise CutError(f"its features are no rows ({form})")
        return Cut(
            depth=len(self._units),
            name="features",
            width=form.numbers,
            dtype=torch.float32,
            crossing=(features,),
            forms=(form,),
            _suffixes=(_same, _same),
        )

    def prefix(self, cuts: Sequence[Cut]) -> Callable[[Tensor], list[Tensor]]:
        """Return what gives images' rows of all cuts in one pass; it has to run in evaluation mode, without a graph."""
        wanted = _closure(node for cut in cuts for node in cut.crossing)
        ends = defaultdict(list)
        for place, cut in enumerate(cuts):
            ends[max(cut.crossing, key=self._order.__getitem__)].append(place)
        graph, copies, rows = fx.Graph(), dict[fx.Node, fx.Node](), dict[int, fx.Node]()
        for node in self._trace.graph.nodes:
            if node in wanted or node.op == "placeholder":
                copies[node] = graph.node_copy(node, copies.__getitem__)
            for place in ends.get(node, ()):  # at once, before a later step overwrites what crosses
                cut = cuts[place]
                rows[place] = graph.call_function(_packer(cut), ([copies[each] for each in cut.crossing],))
        graph.output([rows[place] for place in range(len(cuts))])
        return runnable(graph, self._backbone)

    def _frozen(self, depth: int) -> Any:
        """Put the leading units into evaluation and the others into training, for a while."""
        return in_modes(self._backbone, {name for unit in self._units[:depth] for name in unit.modules})

    def _candidates(self, depth: int) -> list[tuple[fx.Node, ...]]:
        """Return sets of values that could cross, those of fewest bytes first, among equals the later ones."""
        graph, order = self._trace.graph, self._order
        of_images = _reached(graph, lambda node: node.op == "placeholder")
        trained = _reached(graph, lambda node: self._owners.get(node, -1) >= depth)
        # Sizes are worked out from the batch: who asks for a size needs no tensor.
        tensors = {node for node in of_images if forms_in(self._form(node)) or isinstance(self._form(node), Exception)}
        used = _closure([next(reversed(graph.nodes))], through=lambda node: node not in of_images or node in tensors)
        free = [node for node in graph.nodes if node in tensors and node not in trained]
        solid = [order[node] for node in free if node in self._owners]
        if not solid:
            return []
        found: dict[tuple[fx.Node, ...], tuple[int, int, int]] = {}
        for place in range(max(solid), len(order)):
            inside = {node for node in free if order[node] <= place}
            users = {node: [user for user in node.users if user in used and user in tensors] for node in inside}
            crossing = tuple(node for node in free if node in inside and not inside.issuperset(users[node]))
            size = sum(form.numbers * form.dtype.itemsize for node in crossing for form in forms_in(self._form(node)))
            found[crossing] = (size, len(crossing), -place)
        return sorted(found, key=found.__getitem__)

    def _form(self, node: fx.Node) -> Any:
        return self._forms[self._trace.numbers[node]]

    def _build(self, depth: int, crossing: tuple[fx.Node, ...], training: Trace) -> Cut:
        forms = tuple(self._form(node) for node in crossing)
        for form in forms:
            if isinstance(form, Exception):
                raise CutError(str(form))
        tensors = forms_in(list(forms))
        stored = {self._trace.numbers[node]: form for node, form in zip(crossing, forms, strict=True)}
        crosses = ", ".join(f"{self._trace.names[node]} {form}" for node, form in zip(crossing, forms, strict=True))
        return Cut(
            depth=depth,
            name=f"{self._units[depth - 1].name}: {crosses}",
            width=sum(form.numbers for form in tensors),
            dtype=row_dtype(tensors),
            crossing=crossing,
            forms=forms,
            _suffixes=(self._suffix(self._trace, stored), self._suffix(training, stored)),
        )

    def _suffix(self, trace: Trace, stored: dict[int, Any]) -> Piece:
        """Return what gives features of rows: all that the output needs, up to what crosses and to sizes."""
        of_images = _reached(trace.graph, lambda node: node.op == "placeholder")

        def entry(node: fx.Node) -> bool:
            number = trace.numbers[node]
            return number in stored or (node in of_images and self._is_size(number))

        needed = _closure([next(reversed(trace.graph.nodes))], through=lambda node: not entry(node))
        if any(node.op == "placeholder" and not entry(node) for node in needed):
            raise CutError("what trains needs the images themselves, or does in training what it does not otherwise")
        graph, copies, entries = fx.Graph(), dict[fx.Node, fx.Node](), list[int]()
        for node in trace.graph.nodes:
            if node in needed and entry(node):
                copies[node] = graph.placeholder(f"entry{len(entries)}")
                entries.append(trace.numbers[node])
        for node in trace.graph.nodes:
            if node in needed and node not in copies:
                copies[node] = graph.node_copy(node, copies.__getitem__)
        forward, tensors = runnable(graph, self._backbone), forms_in(list(stored.values()))
        sizes = {number: self._forms[number] for number in entries if number not in stored}

        def suffix(rows: Tensor) -> Tensor:
            found = iter(unpack(tensors, rows))
            values = {
                number: restored(form, len(rows), rows.device, found) for number, form in (stored | sizes).items()
            }
            features: Tensor = forward(*(values[number] for number in entries))
            return features

        return suffix

    def _is_size(self, number: int) -> bool:
        form = self._forms.get(number, _UNKNOWN)
        return form is not _UNKNOWN and not isinstance(form, Exception) and not forms_in(form)

    def _check(self, cut: Cut) -> None:
        """Compare the two parts with the whole: no cut is worth a wrong number."""
        prefix = self.prefix([cut])
        with self._frozen(len(self._units)), torch.no_grad():
            try:
                [rows], [fewer] = prefix(self._images), prefix(self._images[1:])
                found = cut.suffix(rows.clone(), training=False)
            except Exception as error:
                raise CutError(f"its parts do not run ({first_line(error)})") from error
        half = torch.is_autocast_enabled(self._images.device.type)
        if not _agree(found, self._features, half=half):
            raise CutError("its parts give other features than the whole")
        if not _agree(fewer, rows[1:], half=half):
            raise CutError("what crosses of an image depends on the other images of its batch")


_UNKNOWN = object()


def _same(rows: Tensor) -> Tensor:
    return rows


def _packer(cut: Cut) -> Callable[[list[Any]], Tensor]:
    tensors = forms_in(list(cut.forms))

    def packed(values: list[Any]) -> Tensor:
        return pack(tensors, values).to(cut.dtype)

    return packed


def _agree(found: Tensor, expected: Tensor, *, half: bool) -> bool:
    """Return whether two tensors are equal but for rounding, which autocast does in half precision."""
    if found.shape != expected.shape or not bool(expected.isfinite().all()):
        return False
    scale = max(float(expected.abs().max()), 1e-30)
    tolerance = _HALF_TOLERANCE if half else _TOLERANCE.get(expected.dtype, _HALF_TOLERANCE)
    return float((found - expected).abs().max()) <= tolerance * scale


def _looks(graph: fx.Graph, backbone: nn.Module, images: Tensor) -> dict[fx.Node, Any]:
    """Return how the value of each node looks."""
    found: dict[fx.Node, Any] = {}

    class Recorder(fx.Interpreter):
        def fetch_args_kwargs_from_env(self, node: fx.Node) -> Any:
            return _mutable(super().fetch_args_kwargs_from_env(node))  # some modules write into lists they are given

        def run_node(self, node: fx.Node) -> Any:
            value = super().run_node(node)
            found[node] = look(value)
            return value

    Recorder(backbone, graph=graph).run(images)
    return found


def _mutable(value: Any) -> Any:
    """Return arguments with plain lists and dicts for those of torch.fx, which cannot be written into."""
    if isinstance(value, list | tuple):
        plain = [_mutable(each) for each in value]
        return plain if isinstance(value, list) else tuple(plain) if type(value) is tuple else value
    return {key: _mutable(each) for key, each in value.items()} if isinstance(value, dict) else value


def _owners(graph: fx.Graph, backbone: nn.Module, units: Sequence[Unit]) -> dict[fx.Node, int]:
    """Return the unit of each node that has parameters or buffers, or that may behave otherwise in training."""
    tensors = {name: unit.index for unit in units for name in (*unit.parameters, *unit.buffers)}
    modules = {name: unit.index for unit in units for name in unit.modules}
    owners: dict[fx.Node, int] = {}
    for node in graph.nodes:
        name = str(node.target)
        if node.op == "get_attr" and name in tensors:
            owners[node] = tensors[name]
        elif node.op == "call_module":
            inside = [unit for each, unit in tensors.items() if each.startswith(f"{name}.")]
            if inside:
                owners[node] = max(inside)
            elif not isinstance(backbone.get_submodule(name), _STEADY):
                owners[node] = modules[name]
    return owners


def _reached(graph: fx.Graph, begins: Callable[[fx.Node], bool]) -> set[fx.Node]:
    """Return the nodes with which something begins, and all that depend on them."""
    found: set[fx.Node] = set()
    for node in graph.nodes:
        if begins(node) or not found.isdisjoint(node.all_input_nodes):
            found.add(node)
    return found


def _closure(nodes: Iterable[fx.Node], *, through: Callable[[fx.Node], bool] = lambda node: True) -> set[fx.Node]:
    """Return nodes and all that they are computed from, going on from those alone that it may go through."""
    found, pending = set[fx.Node](), list(nodes)
    while pending:
        node = pending.pop()
        if node not in found:
            found.add(node)
            pending += node.all_input_nodes if through(node) else []
    return found
