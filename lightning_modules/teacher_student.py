"""A student that learns from a frozen teacher's labels and stays near its probabilities."""

from __future__ import annotations

from typing import final

from lightning_modules.guided import GuidedModule


@final
class TeacherStudentModule(GuidedModule):
    """The second phase: labeled and pseudo-labeled cases, and consistency with the teacher on unlabeled ones.

    The teacher of the first phase stands still. Its labels arrive as ``TEACHER`` cells of the batch and go through the
    supervised loss; what it was not sure of is left to the consistency term.
    """
