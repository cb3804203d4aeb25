"""All odd files, in one table."""

from odd_files import broken_labels, broken_models, broken_scenes, odd_scenes

CASES = [*broken_scenes.CASES, *broken_models.CASES, *broken_labels.CASES, *odd_scenes.CASES]
"""What is made, the command that meets it, and what must become of it."""
