"""Pixels: decoding, the canvas, what comes embedded, preprocessing, augmentation."""

from typing import TYPE_CHECKING

from sightline.base import lazy_exports

if TYPE_CHECKING:
    from sightline.imaging._augment import Augmentation as Augmentation
    from sightline.imaging._augment import Mixture as Mixture
    from sightline.imaging._augment import augment as augment
    from sightline.imaging._augment import geometry as geometry
    from sightline.imaging._augment import mix as mix
    from sightline.imaging._augment import warp as warp
    from sightline.imaging._decode import EXTENSIONS as EXTENSIONS
    from sightline.imaging._decode import ImageRecord as ImageRecord
    from sightline.imaging._decode import UnreadableImageError as UnreadableImageError
    from sightline.imaging._decode import decode as decode
    from sightline.imaging._decode import decode_array as decode_array
    from sightline.imaging._decode import read_record as read_record
    from sightline.imaging._embedded import DIGITS_NOTE as DIGITS_NOTE
    from sightline.imaging._embedded import digits as digits
    from sightline.imaging._embedded import photograph as photograph
    from sightline.imaging._frame import Canvas as Canvas
    from sightline.imaging._frame import Framed as Framed
    from sightline.imaging._frame import frame as frame
    from sightline.imaging._frame import read_framed as read_framed
    from sightline.imaging._preprocess import Preprocessing as Preprocessing
    from sightline.imaging._preprocess import choose_fit as choose_fit

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "_augment": ("Augmentation", "Mixture", "augment", "geometry", "mix", "warp"),
        "_decode": (
            "EXTENSIONS",
            "ImageRecord",
            "UnreadableImageError",
            "decode",
            "decode_array",
            "read_record",
        ),
        "_embedded": ("DIGITS_NOTE", "digits", "photograph"),
        "_frame": ("Canvas", "Framed", "frame", "read_framed"),
        "_preprocess": ("Preprocessing", "choose_fit"),
    },
)
