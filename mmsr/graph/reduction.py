"""Reductions: narrower vectors in place of a modality's features, before they are clustered.

Shapes: n items that have the modality, F width of the features, D reduced width.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

Vectors = NDArray[np.float32]
Rows = NDArray[np.bool_]
_STEPS = 1000
_BATCH = 256
_RATE = 0.1
"""First learning rate of the autoencoder, times √F: its weights are about 1/√F."""


def rows_of(vectors: Vectors, fitted: Rows) -> Vectors:
    """The vectors to fit on; the given array itself where these are all.

    Parameters
    ----------
    vectors : float32 `[n, F]`.
    fitted : bool `[n]`, True for those to fit on.
    """
    return vectors if fitted.all() else vectors[fitted]


def pca(vectors: Vectors, fitted: Rows, width: int, seed: int) -> Vectors:
    """Principal components of the fitted vectors; `[n, D]`, D at most what the data allow.

    Parameters
    ----------
    vectors, fitted : as in `rows_of`.
    width : wanted width.
    seed : seed of the randomised solver, which scikit-learn takes for large inputs.
    """
    from sklearn.decomposition import PCA

    fit = rows_of(vectors, fitted)
    components = PCA(min(width, *fit.shape), random_state=seed)
    if fit is vectors:
        reduced: Vectors = components.fit_transform(vectors)
        return reduced
    found: Vectors = components.fit(fit).transform(vectors)
    return found


def autoencoder(vectors: Vectors, fitted: Rows, width: int, seed: int) -> Vectors:
    """What the encoder of a linear autoencoder makes of the vectors; `[n, D]`, as `pca`.

    Encoder and decoder are one matrix each, without activation, trained by Adam on the squared
    error of reconstruction. The best that they can reach is what PCA reaches (Baldi and Hornik
    1989); the reduced vectors span the same subspace, but their axes are neither orthogonal nor
    ordered.

    Parameters
    ----------
    vectors, fitted : as in `rows_of`; centred and scaled by one number before they are encoded.
    width : wanted width.
    seed : seed of the first weights and of the batches.
    """
    fit = rows_of(vectors, fitted)
    mean, spread = fit.mean(axis=0), float(fit.std(axis=0, dtype=np.float64).mean()) or 1.0
    encode, _ = linear_autoencoder((fit - mean) / np.float32(spread), min(width, *fit.shape), seed)
    reduced: Vectors = (vectors - mean) @ (encode.numpy() / np.float32(spread))
    return reduced


def linear_autoencoder(
    vectors: Vectors, width: int, seed: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Train a linear autoencoder on one thread.

    Parameters
    ----------
    vectors : float32 `[n, F]`, centred, with entries of about 1.
    width : width of the code, D.
    seed : seed of the first weights and of the batches; torch's own generator is not used.

    Returns
    -------
    The encoder `[F, D]` and the decoder `[D, F]`.
    """
    import torch
    import torch.nn.functional as F

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        generator = torch.Generator().manual_seed(seed)
        x_nF = torch.from_numpy(np.ascontiguousarray(vectors))
        drawn = torch.randn(x_nF.shape[1], width, generator=generator)
        basis, _ = torch.linalg.qr(drawn)
        encode = basis.clone().requires_grad_()
        decode = basis.T.clone().requires_grad_()
        rate = _RATE / x_nF.shape[1] ** 0.5
        optimizer = torch.optim.Adam([encode, decode], lr=rate, foreach=False)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, _STEPS)
        with torch.enable_grad():
            for _ in range(_STEPS):
                drawn_B = torch.randint(len(x_nF), (_BATCH,), generator=generator)
                batch = x_nF[drawn_B]
                optimizer.zero_grad()
                F.mse_loss(batch @ encode @ decode, batch).backward()  # type: ignore[no-untyped-call]  # torch's stubs
                optimizer.step()
                schedule.step()
    finally:
        torch.set_num_threads(threads)
    return encode.detach(), decode.detach()


def unchanged(vectors: Vectors, fitted: Rows, width: int, seed: int) -> Vectors:
    """The vectors as they are.

    Parameters
    ----------
    vectors, fitted, width, seed : as in `pca`; only the first is used.
    """
    return vectors


REDUCTIONS: dict[str, Callable[[Vectors, Rows, int, int], Vectors]] = {
    "pca": pca,
    "autoencoder": autoencoder,
    "none": unchanged,
}
