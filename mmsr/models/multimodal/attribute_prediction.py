"""DIF-SR's auxiliary task: predict the features of the target from the user vector.

Shapes: N targets of a step, n those with the modality, M different items among these, D width,
F width of feature vectors.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmsr.models.features import FeatureTables, root_mean_square_length
from mmsr.models.inputs import ItemFeatures
from mmsr.models.products import product


class AttributePrediction(nn.Module):
    """Binary cross-entropy of the target's feature vector among those of the step's targets.

    DIF-SR predicts categories: a linear map of the user vector gives a logit for each category, and
    the loss is the mean binary cross-entropy over all categories, 1 for the target's own. Feature
    vectors are no categories. Here each different target of a step that has the modality stands for
    a category: its logit for user vector u is (W u + c) · f + b, f its feature vector over the root
    mean square length of its modality's vectors. The mean is over these items, and over targets
    that have the modality; modalities are summed, as the authors' attributes are. A step computes
    n · M logits per modality, where a full softmax computes one per target and item.

    Parameters
    ----------
    features : the vectors of each modality.
    width : width of user vectors.
    """

    lengths: Tensor

    def __init__(self, features: Mapping[str, ItemFeatures], width: int) -> None:
        super().__init__()
        lengths = [root_mean_square_length(f.vectors) for f in features.values()]
        self.register_buffer("lengths", torch.tensor(lengths))
        self.maps = nn.ModuleList(nn.Linear(width, f.vectors.shape[1]) for f in features.values())
        self.biases = nn.Parameter(torch.zeros(len(lengths)))

    def forward(self, tables: FeatureTables, users_ND: Tensor, targets_N: Tensor) -> Tensor:
        """Compute the loss.

        Parameters
        ----------
        tables : the feature vectors.
        users_ND : user vectors.
        targets_N : int64, item index of each one's target.

        Returns
        -------
        A scalar; 0 where no target has any modality.
        """
        total = users_ND.new_zeros(())
        for place, modality in enumerate(tables.modalities):
            has_N = tables.links(modality)[targets_N, 0] >= 0
            items_M, own_n = torch.unique(targets_N[has_N], return_inverse=True)
            if len(items_M):
                vectors_MF = tables.vectors(modality, items_M) / self.lengths[place]
                predicted_nF = self.maps[place](users_ND[has_N])
                logits_nM = product(predicted_nF, vectors_MF.T) + self.biases[place]
                own = logits_nM.gather(1, own_n[:, None])
                # -log σ(x) = softplus(x) - x, -log(1 - σ(x)) = softplus(x)
                total = total + F.softplus(logits_nM).mean() - own.mean() / len(items_M)
        return total
