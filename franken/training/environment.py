"""Global state that training must touch, put back afterwards."""

import functools
import logging
import os
import random
import signal
import threading
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from franken.errors import ConfigError

_CHATTY = ("pytorch_lightning", "lightning_fabric", "pytorch_lightning.utilities.rank_zero")
_KNOWN_WARNINGS = (
    ".*module\\(s\\) in eval mode at the start of training.*",  # frozen parts, on purpose
    ".*`validation_step` but have no `val_dataloader`.*",  # callbacks.py validates
    ".*`isinstance\\(treespec, LeafSpec\\)` is deprecated.*",
    ".*`is_gradient_checkpointing` is deprecated.*",
    ".*available but not used.*",
    ".*`srun` command is available.*",  # processes are told their places here
    ".*CUDA reports that you have.*",  # fork_rng on machines with several GPUs
    ".*does not have many workers.*",
    ".*`_dataloader_init_kwargs`.*",
    ".*Checkpoint directory .* exists and is not empty.*",
    ".*deterministic.*warn_only.*",
)


@contextmanager
def isolated(threads: int | None) -> Iterator[None]:
    """Generators, threads, flags, variables and log levels are afterwards as they were."""
    variables = set(os.environ)
    python, numpy = random.getstate(), np.random.get_state()
    count = torch.get_num_threads()
    flags: Any = torch.utils.deterministic
    deterministic = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    fill = flags.fill_uninitialized_memory
    benchmark = torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic
    levels = {name: logging.getLogger(name).level for name in _CHATTY}
    with torch.random.fork_rng(), warnings.catch_warnings():
        for message in _KNOWN_WARNINGS:
            warnings.filterwarnings("ignore", message=message)
        for name in _CHATTY:
            logging.getLogger(name).setLevel(logging.WARNING)
        try:
            if threads is not None:
                torch.set_num_threads(threads)
            flags.fill_uninitialized_memory = False  # costs time, tells nothing
            yield
        finally:
            torch.set_num_threads(count)
            torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
            flags.fill_uninitialized_memory = fill
            torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = benchmark
            for name in set(os.environ) - variables:  # left behind by Lightning
                if not name.startswith("WANDB"):
                    del os.environ[name]
            for name, level in levels.items():
                logging.getLogger(name).setLevel(level)
            random.setstate(python)
            np.random.set_state(numpy)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Turn Lightning's answer to Ctrl-C (ignore SIGINT from now on, exit) back into the usual."""
    main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit as error:
        if isinstance(error.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from error
        raise
    finally:
        if main and handler is not None:
            signal.signal(signal.SIGINT, handler)


@contextmanager
def compiled(body: nn.Module, backend: str | None) -> Iterator[None]:
    """``torch.compile`` of calls of a module; names of parameters and hooks stay as they are."""
    if backend is None:
        yield
        return
    body.compile(backend=backend)
    try:
        yield
    finally:
        body._compiled_call_impl = None


@contextmanager
def attending(model: Any, kind: str | None) -> Iterator[None]:
    """Another implementation of attention for a while.

    Raises:
        ConfigError: where the model has it not, or would compute something else by it.
    """
    if kind is None:
        yield
        return
    config = model.config.get_text_config()
    if kind == "sdpa" and getattr(config, "attn_logit_softcapping", None):
        raise ConfigError(
            f"trainer.attention={kind}: {config.model_type} bounds its attention scores "
            "(attn_logit_softcapping), which sdpa leaves out; set it to eager or null"
        )
    before = config._attn_implementation
    try:
        model.set_attn_implementation(kind)
    except (ValueError, ImportError) as error:
        raise ConfigError(
            f"trainer.attention={kind}: {config.model_type} has none: {error}"
        ) from error
    try:
        yield
    finally:
        model.set_attn_implementation(before)


@contextmanager
def checkpointed_layers(layers: Iterable[nn.Module], active: bool) -> Iterator[None]:
    """Activation checkpointing of layers, in the form that works with frozen inputs.

    transformers switches its own off in layers that are in ``eval`` mode, and frozen layers are;
    the re-entrant form loses gradients when no input requires one (LoRA).
    """
    changed = list(layers) if active else []
    for layer in changed:
        again = functools.partial(checkpoint, layer.forward, use_reentrant=False)
        layer.forward = again  # type: ignore[method-assign]
    try:
        yield
    finally:
        for layer in changed:
            del layer.__dict__["forward"]
