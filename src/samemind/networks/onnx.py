"""Networks in ONNX files, run by onnxruntime on the CPU; their inner outputs are layers.

A module stands for the graph. Each inner output is a module inside of it that passes on what the
graph gives there, so that whatever watches layers watches these.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from samemind.errors import CheckpointError, InvalidInput, MissingExtra, reason
from samemind.files.reading import is_file
from samemind.networks.encoders import Encoder, Where
from samemind.networks.model import Loading, Model
from samemind.networks.normalising import Normalised, stated
from samemind.networks.options import ONNX

OF_FLOATS = {1: torch.float32, 10: torch.float16, 11: torch.float64}
"""The types of floating-point tensors, by their numbers in ONNX."""
NO_LAYERS = ("Constant", "ConstantOfShape", "Shape", "Identity", "Cast", "Gather", "Unsqueeze")
"""Operations whose outputs say nothing of an input, or are what another gave."""


class OnnxNetwork(nn.Module):
    """The network of an ONNX file, in evaluation as it was exported.

    **Arguments:** `path` of the file; `wanted`: names of inner outputs that it returns beside.

    **Raises:** `MissingExtra` without onnx and onnxruntime; `CheckpointError` for a file that is no
    network of one input.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        try:
            import onnx
            import onnxruntime
        except ImportError:
            raise MissingExtra(
                f"{path} is an ONNX file, which onnx and onnxruntime read. Install them: "
                f"pip install 'samemind[onnx]'."
            ) from None
        self.path = path
        try:
            self.graph: Any = onnx.load(str(path))
            session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        except Exception as error:
            raise CheckpointError(f"{path} cannot be read as ONNX: {reason(error)}.") from None
        self._sessions: dict[tuple[str, ...], Any] = {(): session}
        held = {one.name for one in self.graph.graph.initializer}
        self.inputs = [one for one in self.graph.graph.input if one.name not in held]
        if len(self.inputs) != 1:
            names = ", ".join(one.name for one in self.inputs) or "none"
            raise CheckpointError(
                f"{path} is a network of {len(self.inputs)} inputs ({names}), but one is read "
                f"here. Export it with the others fixed."
            )
        self.result = self.graph.graph.output[0].name
        self.places, kinds = _places(self.graph, self.result)
        for name in self.places:
            self.add_module(name, _operation(kinds[name]))
        self.head_reads = _head_of(self.graph, self.result)

    @property
    def shape(self) -> tuple[int | None, ...]:
        """The shape of its input; None where any number will do."""
        axes = self.inputs[0].type.tensor_type.shape.dim
        return tuple(axis.dim_value if axis.HasField("dim_value") else None for axis in axes)

    def forward(self, images: Tensor) -> Tensor:
        """Its first output, after each inner output that is watched was passed on."""
        watched = tuple(name for name in self.places if _is_watched(self._modules[name]))
        session = self._session(watched)
        dtype = OF_FLOATS.get(self.inputs[0].type.tensor_type.elem_type)
        given = images if dtype is None else images.to(dtype)
        feed = {self.inputs[0].name: given.detach().cpu().numpy()}
        names = [self.result, *(self.places[name] for name in watched)]
        found = session.run(names, feed)
        for name, values in zip(watched, found[1:], strict=True):
            self._modules[name](torch.from_numpy(np.array(values)).to(images.device))  # pyright: ignore[reportOptionalCall]
        return torch.from_numpy(np.array(found[0])).to(images.device)

    def _session(self, watched: tuple[str, ...]) -> Any:
        """The runner that gives these inner outputs too, made once: more would undo its fusing."""
        if watched not in self._sessions:
            import onnx
            import onnxruntime

            graph = onnx.ModelProto()
            graph.CopyFrom(self.graph)
            there = {one.name for one in graph.graph.output}
            for name in watched:
                if self.places[name] not in there:
                    graph.graph.output.append(onnx.ValueInfoProto(name=self.places[name]))
            options = onnxruntime.SessionOptions()
            options.log_severity_level = 3
            self._sessions[watched] = onnxruntime.InferenceSession(
                graph.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        return self._sessions[watched]


def _is_watched(module: Any) -> bool:
    return bool(module._forward_hooks or module._forward_pre_hooks)


@cache
def _class_of(kind: str) -> type[nn.Identity]:
    return type(kind, (nn.Identity,), {"__module__": __name__, "shows_operation": True})


def _operation(kind: str) -> nn.Module:
    """What stands for an operation of this kind: it passes on what the graph gave."""
    return _class_of(kind)()


def _places(graph: Any, result: str) -> tuple[dict[str, str], dict[str, str]]:
    """Inner outputs by what they are called as layers, in the order of the graph; their kinds."""
    places: dict[str, str] = {}
    kinds: dict[str, str] = {}
    for node in graph.graph.node:
        for output in node.output[:1]:
            if node.op_type in NO_LAYERS or not output or output == result:
                continue
            # A module's name has no dots, and most exporters write paths.
            name = output.strip("/").replace(".", "_").replace("/", "_")
            places.setdefault(name, output)
            kinds.setdefault(name, node.op_type)
    return places, kinds


def _head_of(graph: Any, result: str) -> str | None:
    """The inner output that the last linear layer reads, where the graph ends in one."""
    made_by = {output: node for node in graph.graph.node for output in node.output}
    node = made_by.get(result)
    held = {one.name for one in graph.graph.initializer}

    def is_constant(name: str) -> bool:
        maker = made_by.get(name)
        if name in held or maker is None:
            return name in held
        return maker.op_type == "Constant" or all(is_constant(one) for one in maker.input)

    if node is not None and node.op_type == "Add":
        inner = [made_by[one] for one in node.input if one in made_by and not is_constant(one)]
        node = inner[0] if len(inner) == 1 else None
    if node is None or node.op_type not in ("Gemm", "MatMul"):
        return None
    return node.input[0] if all(is_constant(one) for one in node.input[1:]) else None


def from_onnx(file: str, loading: Loading) -> Model:
    """The model of `onnx:FILE`.

    Its representation is what was named, else what its last linear layer (Gemm, or MatMul and Add)
    reads; its output of shape (N, C) are logits where it ends in such a layer.

    **Raises:** `InvalidInput` for no file, or where nothing says what its representation is; what
    `OnnxNetwork` raises.
    """
    if not is_file(file):
        raise InvalidInput(f"There is no file {file}. Check the path.")
    path = Path(file)
    network = OnnxNetwork(path).eval()
    shape = network.shape
    is_image = len(shape) == 4
    channels = int(shape[1] or 3) if is_image else 0
    normalised = None
    if is_image:
        normalised = stated(loading, channels) or Normalised(
            (0.0,) * channels, (1.0,) * channels, "nothing", is_assumed=True
        )
    size = loading.image_size or (shape[2] if is_image else None)
    where, has_logits = _where(network, loading.representation)
    options: dict[str, Any] = {"call": loading.forward}
    if normalised is not None:
        options |= {"mean": normalised.mean, "std": normalised.std}
    return Model(
        name=path.stem,
        reference=f"onnx:{file}",
        classifier=Encoder(network, where, has_logits=has_logits, **options),
        architecture="onnx",
        image_size=size,
        crop=loading.crop or 1.0,
        channels=channels,
        note=normalised.note if normalised is not None else "",
        normalised=normalised,
        kind=ONNX,
    )


def _where(network: OnnxNetwork, asked: str | None) -> tuple[Where, bool]:
    from samemind.networks.representations import place_named

    called = {output: name for name, output in network.places.items()}
    has_logits = network.head_reads is not None
    if asked:
        return place_named(network, asked, torch.zeros(1, 1)), has_logits
    if network.head_reads is None or network.head_reads not in called:
        last = ", ".join(f"'{name}'" for name in list(network.places)[-8:])
        raise InvalidInput(
            f"{network.path.name} does not end in one linear layer, so nothing says what its "
            f"representation is. Name an inner output with --representation, such as {last}, or "
            f"'output'."
        )
    layer = called[network.head_reads]
    return Where(said=f"'{layer}', which its last linear layer reads", layer=layer), has_logits
