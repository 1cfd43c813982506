"""Pixels: decoding, the canvas, what comes embedded, preprocessing, augmentation."""

from typing import TYPE_CHECKING

from sightline.base import lazy_exports

if TYPE_CHECKING:
    from sightline.imaging._augment import augment as augment
    from sightline.imaging._augment import warp as warp
    from sightline.imaging._augmentation import Augmentation as Augmentation
    from sightline.imaging._augmentation import Fill as Fill
    from sightline.imaging._colour import Axes as Axes
    from sightline.imaging._colour import colour_axes as colour_axes
    from sightline.imaging._decode import EXTENSIONS as EXTENSIONS
    from sightline.imaging._decode import ImageRecord as ImageRecord
    from sightline.imaging._decode import decode as decode
    from sightline.imaging._decode import decode_any as decode_any
    from sightline.imaging._decode import decode_array as decode_array
    from sightline.imaging._decode import of_channels as of_channels
    from sightline.imaging._decode import read_record as read_record
    from sightline.imaging._deep import PAGES as PAGES
    from sightline.imaging._deep import Depth as Depth
    from sightline.imaging._deep import Values as Values
    from sightline.imaging._deep import check_pages as check_pages
    from sightline.imaging._deep import depth_of as depth_of
    from sightline.imaging._deep import narrowed as narrowed
    from sightline.imaging._deep import widened as widened
    from sightline.imaging._display import PERCENTILES as PERCENTILES
    from sightline.imaging._display import ValueRange as ValueRange
    from sightline.imaging._display import as_picture as as_picture
    from sightline.imaging._display import display as display
    from sightline.imaging._display import percentile_range as percentile_range
    from sightline.imaging._display import picture as picture
    from sightline.imaging._display import spread as spread
    from sightline.imaging._embedded import DIGITS_NOTE as DIGITS_NOTE
    from sightline.imaging._embedded import digits as digits
    from sightline.imaging._embedded import photograph as photograph
    from sightline.imaging._faults import UnreadableImageError as UnreadableImageError
    from sightline.imaging._frame import Canvas as Canvas
    from sightline.imaging._frame import Framed as Framed
    from sightline.imaging._frame import Framing as Framing
    from sightline.imaging._frame import Source as Source
    from sightline.imaging._frame import frame as frame
    from sightline.imaging._frame import read_channels as read_channels
    from sightline.imaging._frame import read_framed as read_framed
    from sightline.imaging._geometry import geometry as geometry
    from sightline.imaging._mix import Mixture as Mixture
    from sightline.imaging._mix import mix as mix
    from sightline.imaging._named import named_picture as named_picture
    from sightline.imaging._named import picture_pixels as picture_pixels
    from sightline.imaging._preprocess import Preprocessing as Preprocessing
    from sightline.imaging._preprocess import choose_fit as choose_fit

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "_augment": ("augment", "warp"),
        "_augmentation": ("Augmentation", "Fill"),
        "_colour": ("Axes", "colour_axes"),
        "_decode": (
            "EXTENSIONS",
            "ImageRecord",
            "decode",
            "decode_any",
            "decode_array",
            "of_channels",
            "read_record",
        ),
        "_deep": ("PAGES", "Depth", "Values", "check_pages", "depth_of", "narrowed", "widened"),
        "_display": (
            "PERCENTILES",
            "ValueRange",
            "as_picture",
            "display",
            "percentile_range",
            "picture",
            "spread",
        ),
        "_embedded": ("DIGITS_NOTE", "digits", "photograph"),
        "_faults": ("UnreadableImageError",),
        "_frame": ("Canvas", "Framed", "Framing", "Source", "frame", "read_channels", "read_framed"),
        "_geometry": ("geometry",),
        "_mix": ("Mixture", "mix"),
        "_named": ("named_picture", "picture_pixels"),
        "_preprocess": ("Preprocessing", "choose_fit"),
    },
)
