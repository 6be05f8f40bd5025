"""The model that ships, run by ONNX Runtime: the first frame need not wait for torch.

Its weights are those of the checkpoint; what is done with them stands in graphs beside it
(`training.export`). Both come with the package and are read as plain arrays.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from jaxtyping import Float
from safetensors import SafetensorError, safe_open

from amie_core.data.audio import Hears
from amie_core.errors import UserError
from amie_core.files import NETWORKS, SHIPPED
from amie_core.model.speaking import Maps, Strokes
from amie_core.model.teeth import Bank
from amie_core.model.voices import Voices


class ShippedNetworks:
    """`speaking.MouthNetworks` of the checkpoint and graphs that ship; `meta`: the checkpoint's."""

    def __init__(self, weights: Path = SHIPPED, graphs: Path = NETWORKS) -> None:
        self._weights, self.meta = _read(weights)
        self._graphs, own = _read(graphs)
        if own.get("of") != self.meta:
            raise UserError(f"{graphs} is of another model than {weights}: `make weights`")
        self._needed = own["needed"]
        self.image_size: int = self.meta["model"]["image_size"]
        self.canvas: int = self.meta["model"]["canvas"]
        self.context: int = own["context"]
        self.hears: Hears = own["hears"]
        parts = (self._weights[f"generator.interiors.{name}"] for name in Bank._fields)
        self.bank = Bank(*parts)
        known = (self._weights[f"generator.motion.voice_{name}"] for name in Voices._fields)
        self.voices = Voices(*known)
        self._sessions: dict[str, onnxruntime.InferenceSession] = {}

    def hear(self, windows: Float[np.ndarray, "_ 20 c"]) -> Float[np.ndarray, "n 31 2"]:
        """Displacements of frames whose windows have `context` others at each end."""
        return self._run("hear", windows.astype(np.float32, copy=False))[0]

    def code(self, windows: Float[np.ndarray, "n 20 13"]) -> Float[np.ndarray, "n c q q"]:
        """What the decoder is told of the sound of n frames."""
        return self._run("code", windows.astype(np.float32, copy=False))[0]

    def see(self, face: Float[np.ndarray, "1 3 s s"]) -> Maps:
        """What the decoder takes of a canvas."""
        return tuple(self._run("see", face))

    def outline(self, corners: Float[np.ndarray, "1 16"]) -> Float[np.ndarray, "1 c q q"]:
        """The code of the inner lips' shape."""
        return self._run("outline", corners)[0]

    def paint(
        self, previous: Float[np.ndarray, "1 3 s s"], code: Float[np.ndarray, "1 c q q"], maps: Maps
    ) -> Strokes:
        """A frame, from the one before."""
        return Strokes(*self._run("paint", previous, code, *maps))

    def _run(self, name: str, *inputs: np.ndarray) -> list[np.ndarray]:
        session = self._sessions.get(name) or self._begin(name)
        names = (one.name for one in session.get_inputs())
        return session.run(None, dict(zip(names, inputs, strict=True)))

    def _begin(self, name: str) -> onnxruntime.InferenceSession:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # the pictures are small: a second thread only waits
        options.log_severity_level = 3
        values = {one: self._weights["generator" + one.removeprefix("g")]
                  for one in self._needed[name]}  # fmt: skip
        kept = [onnxruntime.OrtValue.ortvalue_from_numpy(value) for value in values.values()]
        options.add_external_initializers(list(values), kept)
        session = onnxruntime.InferenceSession(
            self._graphs[name].tobytes(), options, providers=["CPUExecutionProvider"]
        )
        self._sessions[name] = session
        return session


def _read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Arrays, halves as floats, and header of a file that ships (UserError: damaged or missing)."""
    try:
        with safe_open(path, framework="np") as file:
            meta = json.loads((file.metadata() or {})["amie"])
            found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise UserError(f"{path} is missing or damaged: install the package anew") from error
    return {name: value.astype(np.float32) if value.dtype == np.float16 else value
            for name, value in found.items()}, meta  # fmt: skip
