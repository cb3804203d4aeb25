"""All odd files, in one table."""

from odd_files import (
    bombs,
    broken_labels,
    broken_models,
    broken_scenes,
    hostile_names,
    odd_scenes,
)

CASES = [
    *broken_scenes.CASES,
    *broken_models.CASES,
    *broken_labels.CASES,
    *bombs.CASES,
    *hostile_names.CASES,
    *odd_scenes.CASES,
]
"""What is made, the command that meets it, and what must become of it."""
