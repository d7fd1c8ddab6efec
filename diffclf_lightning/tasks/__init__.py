"""Tasks: what a set asks, and how answers are counted."""

from diffclf_lightning.tasks.base import COSTS, Asked, Question, Task
from diffclf_lightning.tasks.classification import Classification

__all__ = ["COSTS", "Asked", "Classification", "Question", "Task"]
