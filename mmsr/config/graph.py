"""Configs of the graphs: how histories and features become graphs, and what is missing."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from mmsr.config.base import Frozen
from mmsr.errors import UserError


def _as_tuple(given: object) -> object:
    return tuple(given) if isinstance(given, list) else given


Names = Annotated[tuple[str, ...], BeforeValidator(_as_tuple)]
"""Names in a tuple, or in a list, as YAML has them."""
Codes = Annotated[int, Field(ge=1)]
"""A number of codes."""
MOST_LEVELS = 16
"""Most levels of residual codes."""


class MissingConfig(Frozen):
    """Items that are treated as if they lacked a modality, in training and validation alike.

    The items are a seeded random choice per modality. Choices are nested: what is missing at a rate
    of 0.3 is missing at 0.5 with the same seed. Codes are still computed from all features.
    """

    rate: float = Field(default=0.0, ge=0, le=1)
    """Share of the items that have a modality and lose it."""
    modalities: Names | None = None
    """Modalities that are missing; None takes all that the graph has."""
    seed: int = Field(default=0, ge=0, lt=2**32)
    """Seed of the choice."""


class ModalityDropoutConfig(Frozen):
    """Leave modalities out at random in training, so that the model learns to do without them."""

    rate: float = Field(default=0.0, ge=0, lt=1)
    """Chance that a modality is left out; 0 leaves none out."""
    per: Literal["item", "history"] = "item"
    """`item`: each item loses a modality independently, in all histories of the batch and in the
    scores; `history`: all items of a history lose it together, and scores keep it."""


class GraphConfig(Frozen):
    """How histories and modality features become graphs."""

    n_codes: Codes | Annotated[dict[str, Codes], Field(min_length=1)] = 20
    """Clusters per modality: one number for all modalities, or a number for each by name. With
    `clustering="residual"`, each level has so many."""
    links_per_item: int = Field(default=1, ge=1)
    """Nearest codes that each item is linked to, in each modality, and at each level of residual
    codes."""
    reduction: Literal["pca", "autoencoder", "none"] = "pca"
    """What happens to features before clustering: `pca` reduces them to their principal components,
    `autoencoder` by the encoder of a linear autoencoder, `none` leaves them as they are."""
    reduced_width: int = Field(default=128, ge=1)
    """Width of the reduced features; not used with `reduction="none"`."""
    clustering: Literal["kmeans", "gmm", "balanced", "residual"] = "kmeans"
    """How features are clustered into codes: `kmeans` is mini-batch k-means, `gmm` a Gaussian
    mixture with diagonal covariances, `balanced` k-means with clusters of equal size, `residual`
    residual quantisation: k-means at several levels, each of what the one before left over."""
    levels: int = Field(default=3, ge=1, le=MOST_LEVELS)
    """Levels of `clustering="residual"`; not used otherwise."""
    fitted_on: Literal["train", "all"] = "train"
    """Items that reduction and clustering are fitted on: `train` are those that occur in the
    training part, `all` are all. All items are linked to codes."""
    max_history: int = Field(default=50, ge=1)
    """Latest items of a history that enter its graph."""
    modalities: Names | None = None
    """Modalities to use; None takes all that the data set has."""
    seed: int = Field(default=0, ge=0, lt=2**32)
    """Seed of reduction and clustering, separate from the config's `seed`, so that trials with
    the same graph settings share their codes."""
    missing: MissingConfig = MissingConfig()
    """Items that lose modalities, in addition to those that lack them anyway."""

    def codes_of(self, modality: str) -> int:
        """Number of codes of one modality, at each level.

        Parameters
        ----------
        modality : name of the modality.

        Raises
        ------
        UserError : `n_codes` is given by modality, and lacks this one.
        """
        if isinstance(self.n_codes, int):
            return self.n_codes
        if modality not in self.n_codes:
            raise UserError(
                f"graph.n_codes names {sorted(self.n_codes)} but not {modality!r}: "
                "give one number for all modalities, or one for each"
            )
        return self.n_codes[modality]

    @property
    def n_levels(self) -> int:
        """Levels of codes that a modality has."""
        return self.levels if self.clustering == "residual" else 1

    @model_validator(mode="after")
    def _links_fit(self) -> GraphConfig:
        fewest = self.n_codes if isinstance(self.n_codes, int) else min(self.n_codes.values())
        if self.links_per_item > fewest:
            raise ValueError(
                f"links_per_item={self.links_per_item} is more than n_codes={fewest}: "
                "an item cannot be linked to more codes than there are"
            )
        return self
