"""Forms of one tensor's change: dense, sparse, low-rank, signs; each knows its bytes on disk.

A form is written as one run of bytes whose sections follow from its description alone
(``layout``), so what a pack costs is a formula before it is a file.
"""

from typing import Any

from torch import Tensor

from franken.parts.forms.dense import DenseForm, ZeroForm
from franken.parts.forms.levels import LevelsForm
from franken.parts.forms.lowrank import ColumnGroup, LowRankForm
from franken.parts.forms.rows import RowsForm
from franken.parts.forms.section import (
    FORMS,
    Form,
    bytes_of_layout,
    form_of,
    join_sections,
    split_sections,
)
from franken.parts.forms.sign import SignForm
from franken.parts.forms.sparse import SparseForm
from franken.parts.forms.total import SumForm

__all__ = [
    "FORMS",
    "ColumnGroup",
    "DenseForm",
    "Form",
    "LevelsForm",
    "LowRankForm",
    "RowsForm",
    "SignForm",
    "SparseForm",
    "SumForm",
    "ZeroForm",
    "decode_form",
    "encoded_bytes",
    "form_bytes",
]


def encoded_bytes(form: Form) -> Tensor:
    """All sections of a form as one uint8 tensor."""
    return join_sections(form.layout(form.describe()), form.sections())


def form_bytes(description: dict[str, Any]) -> int:
    """Bytes that a form of this description takes, by its layout."""
    return bytes_of_layout(form_of(description).layout(description))


def decode_form(description: dict[str, Any], payload: Tensor) -> Form:
    """Read a form back.

    Args:
        description: as ``describe`` gave it.
        payload: ``(bytes,)`` uint8.

    Raises:
        ArtifactError: for an unknown kind, or where the bytes do not fit the description.
    """
    kind = form_of(description)
    form: Form = kind.restore(description, split_sections(kind.layout(description), payload))
    return form
