"""What the shipped model's networks do, as ONNX graphs: `talking.networks` runs them.

Needs `onnx` and `onnxscript` (the extra "dev"); whoever talks needs neither.
"""

import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from amie_core.data.audio import SPEECH_BANDS
from amie_core.errors import UserError
from amie_core.files import NETWORKS, SHIPPED
from amie_core.model.generator import Skips
from amie_core.model.mouth import MouthGenerator
from amie_core.training.checkpoint import load_generator, write_tensors


class _Part(nn.Module):
    """One thing that the generator does; its parameters' names begin with `g.`."""

    def __init__(self, g: MouthGenerator) -> None:
        super().__init__()
        self.g = g


class _Hear(_Part):
    def forward(self, windows: Tensor) -> Tensor:
        return self.g.motion.said(windows)


class _Code(_Part):
    def forward(self, windows: Tensor) -> Tensor:
        return self.g.audio(windows)


class _See(_Part):
    def forward(self, face: Tensor) -> tuple[Tensor, ...]:
        return self.g.decoder.skips(self.g.identity_encoder(face), ()).joined


class _Outline(_Part):
    def forward(self, corners: Tensor) -> Tensor:
        return self.g.shape(corners)


class _Paint(_Part):
    def forward(self, previous: Tensor, code: Tensor, *joined: Tensor) -> tuple[Tensor, Tensor]:
        g = self.g
        every = torch.cat([code, g.image_encoder(previous)[-1]], 1)
        raw = g.decoder(every, Skips(joined, g.decoder.kernels()))[0]
        return raw[:3].sigmoid(), raw[3:].tanh()


def export(source: Path = SHIPPED, out: Path = NETWORKS) -> Path:
    """Write what the networks of a checkpoint do as ONNX graphs; weights stay where they are.

    UserError: not a generator that moves a mouth by its landmarks, or the file cannot be written.
    """
    made, meta = load_generator(source)
    if not isinstance(made, MouthGenerator):
        raise UserError(f"{source}: only a model with compose=landmarks is written for ONNX")
    g = made
    for weights in g.parameters():
        weights.data = weights.data.contiguous()
    with torch.no_grad():
        face = torch.zeros(1, 3, g.image_size, g.image_size)
        cepstra = torch.zeros(3, 20, 13)
        columns = {"cepstra": 13, "speech": 13 + SPEECH_BANDS}[g.hears]
        sound = torch.zeros(2 * g.context + 3, 20, columns)
        code, joined = g.audio(cepstra[:1]), _See(g)(face)
    several = [({0: torch.export.Dim("n", min=least, max=100_000)},)
               for least in (2 * g.context + 1, 1)]  # fmt: skip
    graphs = {
        "hear": _graph(_Hear(g), (sound,), dynamic_shapes=several[0]),
        "code": _graph(_Code(g), (cepstra,), dynamic_shapes=several[1]),
        "see": _graph(_See(g), (face,)),
        "outline": _graph(_Outline(g), (torch.zeros(1, 16),)),
        "paint": _graph(_Paint(g), (face, code, *joined)),
    }
    tensors = {name: torch.frombuffer(bytearray(data), dtype=torch.uint8)
               for name, (data, _) in graphs.items()}  # fmt: skip
    needed = {name: names for name, (_, names) in graphs.items()}
    kept = {"needed": needed, "of": meta, "context": g.context, "hears": g.hears}
    write_tensors(out, tensors, kept)
    return out


def _graph(module: nn.Module, inputs: tuple[Tensor, ...], **more: Any) -> tuple[bytes, list[str]]:
    """A module as ONNX without its parameters, and their names, which follow `g.`.

    A few it keeps itself, those that it reshapes (of GroupNorm): a graph is of one checkpoint.
    """
    import onnx

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of torch, about its own tree functions
        program = torch.onnx.export(
            module.eval(), inputs, dynamo=True, optimize=True, verbose=False, **more
        )
    assert program is not None
    model, names = program.model_proto, []
    for told in (model, model.graph, *model.graph.node, *model.graph.value_info):
        told.doc_string = ""  # these say where in whose files a node comes from
        del told.metadata_props[:]
    for tensor in model.graph.initializer:
        if tensor.name.startswith("g."):
            names.append(tensor.name)
            tensor.ClearField("raw_data")
            tensor.data_location = onnx.TensorProto.EXTERNAL
            tensor.external_data.add(key="location", value=SHIPPED.name)
    return model.SerializeToString(deterministic=True), names


if __name__ == "__main__":
    print(export())
