"""What a format of exports is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

from mmsr.data.dataset import Dataset
from mmsr.data.exporters.histories import ExportedHistories
from mmsr.data.progress import Reporter


class Exporter(ABC):
    """Writes a data set in one format."""

    @abstractmethod
    def check(self, dataset: Dataset) -> None:
        """Check that the format can hold the data set, before test is opened.

        Raises
        ------
        UserError : it cannot; the message names what it cannot hold.
        """

    @abstractmethod
    def write(self, folder: Path, histories: ExportedHistories, reporter: Reporter) -> None:
        """Write all files.

        Parameters
        ----------
        folder : an empty folder.
        histories : what to write.
        reporter : shows the stages.

        Raises
        ------
        UserError : the format cannot hold something.
        OSError : a file cannot be written.
        """

    @abstractmethod
    def guide(self, histories: ExportedHistories) -> str:
        """How the files are read, in Markdown, for the README beside them."""
