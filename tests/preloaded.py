"""Imports that a recipe makes sooner or later, for the server of :mod:`tests.forking`."""

import torch  # noqa: F401  first: what waits for its use is then imported at once
from transformers import Gemma2ForCausalLM, LlamaForCausalLM  # noqa: F401

import franken.data.microworld
import franken.eval_suite
import franken.report.plots
import franken.run
import franken.training  # noqa: F401
from franken.config.register import register_schemas
from franken.steps.base import step_kinds

register_schemas()
step_kinds()
