"""nbval over the notebooks: what is compared, and how long a cell may take."""

import pytest

# Pictures, players and tables as HTML differ in their last bits between machines; warnings and
# progress bars (stderr) between versions. What the text output says is compared.
NOT_COMPARED = ("text/html", "image/svg+xml", "stderr")
CELL_SECONDS = 1800  # a cell may train the smoke model


def pytest_collectstart(collector: pytest.Collector) -> None:
    """Leave out what no two machines give alike."""
    if hasattr(collector, "skip_compare"):
        collector.skip_compare += NOT_COMPARED


def pytest_itemcollected(item: pytest.Item) -> None:
    """Wait for a cell's last output as long as for the cell."""
    if hasattr(item, "output_timeout"):
        item.output_timeout = CELL_SECONDS
