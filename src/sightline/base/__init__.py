"""The ground floor: errors, findings, whole files, the cache, random draws, colours."""

from typing import TYPE_CHECKING

from sightline.base._lazy import lazy_exports as lazy_exports

if TYPE_CHECKING:
    from sightline.base._cache import cache_folder as cache_folder
    from sightline.base._draws import Draws as Draws
    from sightline.base._draws import philox4x32 as philox4x32
    from sightline.base._errors import ArgumentError as ArgumentError
    from sightline.base._errors import DataError as DataError
    from sightline.base._errors import Interrupted as Interrupted
    from sightline.base._errors import ModelFileError as ModelFileError
    from sightline.base._errors import SightlineError as SightlineError
    from sightline.base._errors import StorageError as StorageError
    from sightline.base._errors import TrainingError as TrainingError
    from sightline.base._errors import did_you_mean as did_you_mean
    from sightline.base._files import allocate as allocate
    from sightline.base._files import link_or_copy as link_or_copy
    from sightline.base._files import shown as shown
    from sightline.base._files import storage_errors as storage_errors
    from sightline.base._files import sweep_abandoned as sweep_abandoned
    from sightline.base._files import sweep_partials as sweep_partials
    from sightline.base._files import write_bytes as write_bytes
    from sightline.base._files import write_directory as write_directory
    from sightline.base._files import write_json as write_json
    from sightline.base._files import write_text as write_text
    from sightline.base._files import write_with as write_with
    from sightline.base._finding import Finding as Finding
    from sightline.base._text import duration as duration
    from sightline.base._theme import INK as INK
    from sightline.base._theme import LEVELS as LEVELS
    from sightline.base._theme import SERIES as SERIES

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "_cache": ("cache_folder",),
        "_draws": ("Draws", "philox4x32"),
        "_errors": (
            "ArgumentError",
            "DataError",
            "Interrupted",
            "ModelFileError",
            "SightlineError",
            "StorageError",
            "TrainingError",
            "did_you_mean",
        ),
        "_files": (
            "allocate",
            "link_or_copy",
            "shown",
            "storage_errors",
            "sweep_abandoned",
            "sweep_partials",
            "write_bytes",
            "write_directory",
            "write_json",
            "write_text",
            "write_with",
        ),
        "_finding": ("Finding",),
        "_lazy": ("lazy_exports",),
        "_text": ("duration",),
        "_theme": ("INK", "LEVELS", "SERIES"),
    },
)
