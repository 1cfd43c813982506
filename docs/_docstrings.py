"""How the reference reads docstrings: an `Example:` is code that runs, whatever the number of its lines."""

from __future__ import annotations

import re
from typing import Any

import griffe


class RunningExamples(griffe.Extension):
    """Calls sections `Example` what the parser knows: `Examples`."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Change the docstring of an object as it is read."""
        if obj.docstring is not None:
            obj.docstring.value = re.sub(r"^Example:$", "Examples:", obj.docstring.value, flags=re.MULTILINE)
