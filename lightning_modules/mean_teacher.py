"""A student that stays near the moving average of itself."""

from __future__ import annotations

from typing import final

from lightning_modules.guided import GuidedModule


@final
class MeanTeacherModule(GuidedModule):
    """Mean teacher (Tarvainen & Valpola, NeurIPS 2017, arXiv:1703.01780), over cells instead of images.

    The student learns from labels and from its own moving average; :class:`callbacks.ema_update.EMAUpdate` says when
    that moves. Both are validated, since which of them is better is a question for the data.
    """

    validated = ("student", "teacher")
