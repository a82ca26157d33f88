"""Training: what changes is a policy, the rest is one Lightning module and one runner."""

from franken.training.loggers import close_loggers, log_tables, make_loggers
from franken.training.loss import chunked_linear_cross_entropy
from franken.training.module import CausalModule
from franken.training.policy import PolicyReport, apply_policy
from franken.training.runner import train_model
from franken.training.state import TrainingReport

__all__ = [
    "CausalModule",
    "PolicyReport",
    "TrainingReport",
    "apply_policy",
    "chunked_linear_cross_entropy",
    "close_loggers",
    "log_tables",
    "make_loggers",
    "train_model",
]
