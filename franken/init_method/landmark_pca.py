"""tokensurgeon's ``landmark_pca``: one rotation from the helper's principal axes to the source's.

``row = (x - mean_a) P_a R P_b' + mean_b`` for a helper row ``x``; ``A``, ``B`` are the rows of the
shared tokens (landmarks) in the helper and in the source, ``P_a``, ``P_b`` their principal axes,
``R = U V'`` from ``(A_c P_a)' (B_c P_b) = U S V'`` (Procrustes). The rows lie in the span of the
landmarks, so that each is also a weighted sum, weights of sum 1, of the few landmarks that pivoted
QR keeps: that is the map, so that output rows and a head's bias follow as with any other.

Departures from mergekit: its ``R`` is the transpose of the above, which is the same only where the
two spaces are rotations of each other exactly (``transposed=true`` as released; a toy with noise:
relative error 0.42 against 0.06); its axes are found by a randomised method that draws from the
global generator; it fits no scale, and a small helper's rows are of another length than the
source's (``scale=false``).
"""

from __future__ import annotations

from typing import ClassVar

from franken.declare import option
from franken.init_method.common.helper import AnchorInit
from franken.lazy import later

with later():
    import numpy as np
    import torch
    from torch import Tensor

    from franken.token_map.anchors import Coordinates, HelperSpace
    from franken.token_map.builder import MapBuilder
    from franken.token_map.projection import affine_weights, refuse_dense


@option
class LandmarkPcaInit(AnchorInit):
    """One rotation of the helper's rows, from its principal axes to the source's (tokensurgeon
    landmark_pca).
    """

    paper: ClassVar[str] = "tokensurgeon, landmark_pca"

    scale: bool = True
    """One factor on all, fitted with the rotation; false as released."""
    transposed: bool = False
    """The rotation as released: the transpose of the one that fits."""

    def weigh(self, space: HelperSpace, builder: MapBuilder) -> Coordinates:
        """Weights of the rotated rows over the landmarks.

        Raises:
            CompatibilityError: where the weights would be more than 2**25: new tokens times the
                narrower width.
        """
        source = builder.source
        head = source.output if space.part == "output" else None
        table = source.input if head is None else head
        landmarks = table[torch.from_numpy(space.columns)].double()
        refuse_dense(len(space.tokens), min(landmarks.shape[1] + 1, len(landmarks)))
        rows = landmark_rows(
            space.token_rows.double(), space.anchor_rows.double().cpu(), landmarks,
            scale=self.scale, transposed=self.transposed,
        )  # fmt: skip
        kept, weights = affine_weights(rows, landmarks)
        tokens, places = np.indices(weights.shape).reshape(2, -1)
        return tokens, kept[places], weights.reshape(-1)


def landmark_rows(
    queries: Tensor, helper: Tensor, source: Tensor, *, scale: bool, transposed: bool
) -> Tensor:
    """``(n, D)`` rows of the queries in the source's space.

    Args:
        queries: ``(n, h)`` float64 helper rows.
        helper: ``(m, h)`` helper rows of the landmarks.
        source: ``(m, D)`` their source rows.
        scale: whether a factor is fitted with the rotation.
        transposed: whether the rotation is turned round, as released.
    """
    mean, goal = helper.mean(0), source.mean(0)
    width = min(helper.shape[1], source.shape[1])
    axes, others = axes_of(helper - mean, width), axes_of(source - goal, width)
    width = min(axes.shape[1], others.shape[1])
    axes, others = axes[:, :width], others[:, :width]
    scores, wanted = (helper - mean) @ axes, (source - goal) @ others
    left, values, right = torch.linalg.svd(scores.T @ wanted)
    turn = (left @ right).T if transposed else left @ right
    factor = values.sum() / scores.square().sum() if scale else 1.0
    rows: Tensor = factor * ((queries - mean) @ axes @ turn @ others.T) + goal
    return rows


def axes_of(centred: Tensor, width: int) -> Tensor:
    """``(d, w)`` principal axes of ``(m, d)`` rows, ``w`` at most ``width``, the strongest first.

    The sign of an axis is arbitrary, and with ``transposed`` the result depends on it: it is such
    that the cubes of the scores sum to more than 0.
    """
    values, axes = torch.linalg.eigh(centred.T @ centred)
    axes = axes.flip(1)[:, values.flip(0) > values.max() * 1e-12][:, :width]
    signed: Tensor = axes * torch.where((centred @ axes).pow(3).sum(0) < 0, -1.0, 1.0)
    return signed
