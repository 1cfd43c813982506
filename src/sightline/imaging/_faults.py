"""What is wrong with a file, in words."""

from __future__ import annotations


class UnreadableImageError(ValueError):
    """An image file cannot be used; the text says why, without the file's name."""


class LackingExtraError(UnreadableImageError):
    """An image file cannot be read by what is installed here."""


def broken(error: BaseException) -> UnreadableImageError:
    """The error for a file whose decoder failed, on one line."""
    said = " ".join(str(error).split())[:200]
    said = "".join(
        letter if letter.isprintable() else "?" for letter in said
    )  # some codecs say what they read
    return UnreadableImageError(f"broken or truncated ({type(error).__name__}: {said})")
