"""Images from anywhere: the image set, the split, batches."""

from typing import TYPE_CHECKING

from sightline.base import lazy_exports

if TYPE_CHECKING:
    from sightline.data._batch import Batch as Batch
    from sightline.data._batches import DEFAULT_BUDGET_MB as DEFAULT_BUDGET_MB
    from sightline.data._batches import BatchSource as BatchSource
    from sightline.data._batches import MemoryBatches as MemoryBatches
    from sightline.data._batches import WorkerBatches as WorkerBatches
    from sightline.data._batches import open_batches as open_batches
    from sightline.data._csv import check_sayable as check_sayable
    from sightline.data._csv import listed_sources as listed_sources
    from sightline.data._csv import path_cells as path_cells
    from sightline.data._csv import path_columns as path_columns
    from sightline.data._doctor import Examination as Examination
    from sightline.data._doctor import examine_before_training as examine_before_training
    from sightline.data._doctor import examine_images as examine_images
    from sightline.data._doctor_case import Case as Case
    from sightline.data._doctor_page import check_output as check_output
    from sightline.data._doctor_page import write_examination as write_examination
    from sightline.data._doctor_page import write_quarantine as write_quarantine
    from sightline.data._groups import group_images as group_images
    from sightline.data._image_set import PARTS as PARTS
    from sightline.data._image_set import ImageSet as ImageSet
    from sightline.data._image_set import Part as Part
    from sightline.data._index import Progress as Progress
    from sightline.data._input_view import InputView as InputView
    from sightline.data._input_view import input_view as input_view
    from sightline.data._open import EMBEDDED as EMBEDDED
    from sightline.data._open import open_images as open_images
    from sightline.data._pictures import display_range as display_range
    from sightline.data._pictures import picture_of as picture_of
    from sightline.data._sheet import write_sheet as write_sheet
    from sightline.data._sizes import choose_sizes as choose_sizes
    from sightline.data._split import Learned as Learned
    from sightline.data._split import Split as Split
    from sightline.data._split import fold_images as fold_images
    from sightline.data._split import learned_from as learned_from
    from sightline.data._split import read_learned as read_learned
    from sightline.data._split import recorded_split as recorded_split
    from sightline.data._split import save_learned as save_learned
    from sightline.data._split import split_images as split_images
    from sightline.data._statistics import channel_statistics as channel_statistics
    from sightline.data._statistics import value_ranges as value_ranges
    from sightline.data._together import together as together
    from sightline.data._together import write_together as write_together

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "_batch": ("Batch",),
        "_batches": ("DEFAULT_BUDGET_MB", "BatchSource", "MemoryBatches", "WorkerBatches", "open_batches"),
        "_csv": ("check_sayable", "listed_sources", "path_cells", "path_columns"),
        "_doctor": ("Examination", "examine_before_training", "examine_images"),
        "_doctor_case": ("Case",),
        "_doctor_page": ("check_output", "write_examination", "write_quarantine"),
        "_groups": ("group_images",),
        "_image_set": ("PARTS", "ImageSet", "Part"),
        "_index": ("Progress",),
        "_input_view": ("InputView", "input_view"),
        "_open": ("EMBEDDED", "open_images"),
        "_pictures": ("display_range", "picture_of"),
        "_sheet": ("write_sheet",),
        "_sizes": ("choose_sizes",),
        "_split": (
            "Learned",
            "Split",
            "fold_images",
            "learned_from",
            "read_learned",
            "recorded_split",
            "save_learned",
            "split_images",
        ),
        "_together": ("together", "write_together"),
        "_statistics": ("channel_statistics", "value_ranges"),
    },
)
