"""Tasks: what a set asks, and how answers are counted."""

from diffclf_lightning.tasks.base import Question, Task
from diffclf_lightning.tasks.classification import Classification

__all__ = ["Classification", "Question", "Task"]
