"""What stays on disk: the model file, the checkpoint, the run folder."""

from typing import TYPE_CHECKING

from sightline.base import lazy_exports

if TYPE_CHECKING:
    from sightline.records._checkpoint import load_checkpoint as load_checkpoint
    from sightline.records._checkpoint import save_checkpoint as save_checkpoint
    from sightline.records._download import download as download
    from sightline.records._model_file import HEADER_KEY as HEADER_KEY
    from sightline.records._model_file import ArchitectureReference as ArchitectureReference
    from sightline.records._model_file import ModelHeader as ModelHeader
    from sightline.records._model_file import SplitReference as SplitReference
    from sightline.records._model_file import read_header as read_header
    from sightline.records._model_file import read_model_file as read_model_file
    from sightline.records._model_file import read_weights as read_weights
    from sightline.records._model_file import save_model_file as save_model_file
    from sightline.records._model_file import versions as versions
    from sightline.records._run import RunFolder as RunFolder
    from sightline.records._run import SeriesFolder as SeriesFolder

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "_checkpoint": ("load_checkpoint", "save_checkpoint"),
        "_download": ("download",),
        "_model_file": (
            "HEADER_KEY",
            "ArchitectureReference",
            "ModelHeader",
            "SplitReference",
            "read_header",
            "read_model_file",
            "read_weights",
            "save_model_file",
            "versions",
        ),
        "_run": ("RunFolder", "SeriesFolder"),
    },
)
