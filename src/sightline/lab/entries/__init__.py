"""The stops of the lecture, a module each; light to import, for the syllabus reads all of them."""

__all__: list[str] = []
