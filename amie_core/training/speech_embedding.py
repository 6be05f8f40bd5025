"""How `weights/speech_embedding.safetensors` is made: openWakeWord's ONNX file in half floats.

    python -m amie_core.training.speech_embedding embedding_model.onnx

The file is part of the wheel openwakeword 0.4.0 (openwakeword/resources/models). Needs `onnx` (the
extra "dev"); whoever talks or trains needs neither.
"""

import argparse
from pathlib import Path

from safetensors.torch import save

from amie_core.files import SPEECH, write_whole
from amie_core.model.speech_embedding import WIDTHS


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
    for k, (weight, bias) in enumerate(layers[1 : 1 + len(WIDTHS)]):
        tensors |= {f"weight_{k:02}": weight, f"bias_{k:02}": bias}
    write_whole(out, save({name: one.half().contiguous() for name, one in tensors.items()}))
    return out


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("source", type=Path, help="embedding_model.onnx")
    print(convert(parser.parse_args().source))
