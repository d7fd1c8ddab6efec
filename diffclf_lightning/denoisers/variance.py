"""Denoisers whose network may give the variance of the reverse step beside its target."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from diffclf_lightning.denoisers.base import Denoiser
from diffclf_lightning.evaluation import Noised, Prediction


class WithVariance(Denoiser):
    """A denoiser whose output may have twice the channels: its target first, then the variance.

    The second half is that of :meth:`ReverseStep.log_variance` (Nichol and Dhariwal 2021, eq. 15).
    """

    @abstractmethod
    def output(self, x_t: Tensor, timestep: Tensor, conditioning: Mapping[str, Tensor]) -> Tensor:
        """All that the network says, with the arguments of :meth:`Denoiser.forward`."""

    @property
    def out_channels(self) -> int:
        """Channels of the network's output; those of the samples where it does not say them."""
        config: Any = self.network.config
        return int(config.get("out_channels") or self.sample_shape[0])

    @property
    def predicts_variance(self) -> bool:
        return self.out_channels == 2 * self.sample_shape[0]

    def forward(self, x_t: Tensor, timestep: Tensor, conditioning: Mapping[str, Tensor]) -> Tensor:
        return self.output(x_t, timestep, conditioning)[:, : x_t.shape[1]]

    def predict(self, noised: Noised, conditioning: Mapping[str, Tensor]) -> Prediction:
        if not self.predicts_variance:
            return super().predict(noised, conditioning)
        whole = self.output(noised.x_t, noised.at.timestep, conditioning)
        output, variance = whole.chunk(2, dim=1)
        reverse = noised.at.reverse
        log_variance = None if reverse is None else reverse.log_variance(variance)
        return Prediction(noised, output, self.schedule.target, log_variance)
