"""The curves of a run for TensorBoard, written by the thread that trains.

`torch.utils.tensorboard` writes by a thread of its own: what fails there (a full disk, a lost
right) is printed as that thread's traceback, past the one line that a run ends with.
"""

import os
import time
from pathlib import Path


class Board:
    """Scalars by step, in a new file of the folder. From `step` on older ones no longer count."""

    def __init__(self, folder: Path, step: int) -> None:
        from tensorboard.compat.proto import event_pb2, summary_pb2
        from tensorboard.summary.writer.record_writer import RecordWriter

        self.events, self.summaries = event_pb2, summary_pb2
        folder.mkdir(parents=True, exist_ok=True)
        self.file = folder / f"events.out.tfevents.{time.time_ns()}.{os.getpid()}"
        self.records = RecordWriter
        self._write(event_pb2.Event(file_version="brain.Event:2"))
        start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
        self._write(event_pb2.Event(step=step, session_log=start))

    def add(self, values: dict[str, float | int], step: int) -> None:
        """One point of each curve."""
        points = [self.summaries.Summary.Value(tag=name, simple_value=value)
                  for name, value in values.items()]  # fmt: skip
        summary = self.summaries.Summary(value=points)
        self._write(self.events.Event(step=step, summary=summary))

    def _write(self, event) -> None:
        event.wall_time = time.time()
        with self.file.open("ab") as file:
            self.records(file).write(event.SerializeToString())
