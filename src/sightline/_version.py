"""The version, in one place; the changelog's newest entry must agree (a test holds it)."""

__version__ = "0.8.1"
