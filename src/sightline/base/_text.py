"""Small texts for people."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """Seconds for people.

    Example:
        >>> duration(8), duration(200), duration(7300)
        ('8.0 s', '3 min 20 s', '2 h 1 min')
    """
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
