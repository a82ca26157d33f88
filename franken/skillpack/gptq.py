"""GPTQ of singular vectors in two stages, V before U (Delta-CoMe, GraftLLM 2.3)."""

from collections.abc import Callable

import torch
from torch import Tensor

from franken.config.pack import QuantOptions
from franken.parts.forms.lowrank import ColumnGroup
from franken.parts.forms.quantised import Grid, Quantised, encode_factor, fit_grid


def solve(
    weight: Tensor,
    hessian: Tensor,
    round_column: Callable[[int, Tensor], Tensor],
    *,
    damp: float = 0.01,
    act_order: bool = True,
) -> None:
    """Round a matrix column by column, each column's error spread over those still to come.

    Minimises ``tr(E H E^T)`` greedily (Frantar et al. 2023). Groups are static: scales come from
    the matrix as it was, so that any order of the columns needs no index in the file.

    Args:
        weight: ``(R, C)`` float32; not changed.
        hessian: ``(C, C)``, positive semi-definite.
        round_column: takes the column's index and its values ``(R,)``, keeps the codes, and returns
            what they decode to.
        damp: share of the mean diagonal that is added to it.
        act_order: begin with the columns of the largest diagonal.
    """
    left = weight.double().clone()
    matrix = hessian.double().clone()
    diagonal = matrix.diagonal()
    dead = diagonal <= 0
    diagonal[dead] = 1.0
    matrix.diagonal().add_(damp * float(diagonal.mean()))
    order = torch.arange(len(matrix))
    if act_order:
        order = matrix.diagonal().argsort(descending=True, stable=True)
    matrix, left = matrix[order][:, order], left[:, order]
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(matrix))
    upper = torch.linalg.cholesky(inverse, upper=True)
    for at, column in enumerate(order.tolist()):
        values = left[:, at]
        rounded = round_column(column, values.float()).double()
        error = (values - rounded) / upper[at, at]
        left[:, at + 1 :] -= error[:, None] * upper[at, at + 1 :][None]


def quantise_group(
    left: Tensor, sigma: Tensor, right: Tensor, hessian: Tensor, bits: int, options: QuantOptions
) -> ColumnGroup:
    """Round one group of directions with calibration.

    ``V``: rows are singular vectors, columns input features, ``H = mean of x x^T``. ``U``: columns
    are singular directions, ``H_U = (S V^ H V^T S)``, so that U sees the rounded V. Scales of U are
    shared along the output, not along the directions as in the release.

    Args:
        left: ``(m, c)``.
        sigma: ``(c,)``.
        right: ``(c, n)``.
        hessian: ``(n, n)``.
        bits: width; 16 and 32 are rounded plainly.
        options: groups, damping, order.
    """
    columns = len(sigma)
    if bits in (16, 32):
        return ColumnGroup(
            encode_factor(left.T.contiguous(), bits, options.group),
            encode_factor(right.contiguous(), bits, options.group), bits, columns,
        )  # fmt: skip
    grid = fit_grid(right, bits, options.group)
    codes = torch.zeros_like(right, dtype=torch.uint8)

    def round_input(column: int, values: Tensor) -> Tensor:
        codes[:, column] = grid.column_codes(values, column)
        return grid.column_values(codes[:, column], column)

    solve(right, hessian, round_input, damp=options.damp, act_order=options.act_order)
    rounded_right = Quantised(codes, grid)

    scaled = sigma[:, None] * rounded_right.decode()
    inner = scaled.double() @ hessian.double() @ scaled.double().T
    turned = left.T.contiguous()
    left_grid = fit_grid(turned, bits, options.group)
    left_codes = torch.zeros_like(turned, dtype=torch.uint8)

    def round_direction(direction: int, values: Tensor) -> Tensor:
        row = fit_row(left_grid, direction)
        left_codes[direction] = row.codes(values[None])[0]
        return row.decode(left_codes[direction][None])[0]

    solve(left, inner, round_direction, damp=options.damp, act_order=options.act_order)
    return ColumnGroup(Quantised(left_codes, left_grid), rounded_right, bits, columns)


def fit_row(grid: Grid, row: int) -> Grid:
    """The grid of one row."""
    return Grid(
        grid.scales[row : row + 1], grid.zeros[row : row + 1], grid.bits, grid.group, grid.exponent
    )
