"""FeatureClassifier: a head that is trained with labels on features of a diffusion model."""

from pathlib import Path
from typing import Any

from torch import Tensor

from diffclf_lightning.baselines.discriminative import DiscriminativeClassifier
from diffclf_lightning.baselines.feature_cache import FeatureCache, check_unchanging
from diffclf_lightning.baselines.features import DenoiserFeatures
from diffclf_lightning.baselines.head import ResidualHead
from diffclf_lightning.baselines.logits import Preprocessing
from diffclf_lightning.checkpoints import NOT_STORED
from diffclf_lightning.denoisers import Denoiser
from diffclf_lightning.errors import InputError
from diffclf_lightning.image_classifier import VALIDATION
from diffclf_lightning.paths import path_of
from diffclf_lightning.sampling import named_loaders
from diffclf_lightning.weights import checksum

FEATURES = "features"
"""Entry of a checkpoint: whose features the head was trained on."""


class FeatureClassifier(DiscriminativeClassifier):
    """A ResNet-style head on features of a frozen diffusion model ("SD features").

    ``fit`` trains the head alone. A checkpoint holds the head, and says on which features it was
    trained; the diffusion model is given again where it is loaded, and has to be the same.

    Args:
        denoiser: The diffusion model.
        block: Name of a module of its network: ``up_blocks.1``, ``transformer_blocks.7``. Defaults
            to None: the middle block.
        timestep: How noised the images are, of 1,000.
        seed: Seed of the noise.
        cache: Folder of features (:class:`FeatureCache`): those of each set are computed before
            its first image is needed, and never again. Defaults to None: computed when needed.
        planes: Inner channels of a block of the head (:class:`ResidualHead`).
        blocks: Number of its blocks.
        stride: Step of the first of them.
        num_classes: Number of classes. Defaults to None: that of the data, or the checkpoint.
        **kwargs: ``optimizer``, ``lr_scheduler``, ``label_smoothing``, ``network_classes``,
            ``classes_by_position`` and ``task`` of :class:`DiscriminativeClassifier`.

    Raises:
        InputError: If there is no such block, or ``cache`` holds other features.
    """

    trained_here = DiscriminativeClassifier.trained_here | {"denoiser"}

    def __init__(
        self,
        denoiser: Denoiser,
        block: str | None = None,
        timestep: int = 100,
        seed: int = 0,
        cache: str | Path | None = None,
        planes: int = 512,
        blocks: int = 3,
        stride: int = 2,
        num_classes: int | None = None,
        **kwargs: Any,
    ) -> None:
        sizes = {"planes": planes, "blocks": blocks, "stride": stride}
        features = DenoiserFeatures(denoiser, block, timestep, seed)
        channels = denoiser.image_shape[0]
        preprocessing = Preprocessing(
            denoiser.transform, denoiser.image_shape, (0.0,) * channels, (1.0,) * channels
        )
        name = f"{type(denoiser).__name__} features"
        head = ResidualHead(features.shape[0], num_classes or 1, **sizes)
        super().__init__(head, preprocessing, name, **kwargs)
        self._head = sizes
        self.features, self.num_classes = features, num_classes
        self.cache = None if cache is None else FeatureCache(features, path_of(cache))

    @property
    def awaits_checkpoint(self) -> bool:
        return self.num_classes is None

    def configure_model(self) -> None:
        """Give the head as many classes as the data of ``fit`` has."""
        if self.num_classes is not None or not self.fitting:
            return
        names = getattr(getattr(self.trainer, "datamodule", None), "classnames", None)
        if names is None:
            raise InputError(
                "Expected argument `num_classes`, since the data has no class names, but got none."
            )
        self._take(len(names))

    def setup(self, stage: str) -> None:
        """Make what is to be made, and settle the candidates."""
        self.configure_model()
        if not self.awaits_checkpoint:
            super().setup(stage)

    def _take(self, num_classes: int) -> None:
        self.num_classes = num_classes
        self.network = ResidualHead(self.features.shape[0], num_classes, **self._head)

    def forward(self, images: Tensor) -> Tensor:
        """Logits, shape ``(images, classes)``.

        Args:
            images: uint8 or floating point in [0, 1], shape ``(images, *image_shape)``.
        """
        found = (self.features if self.cache is None else self.cache)(images)
        logits: Tensor = self.network(found.to(next(self.network.parameters()).dtype))
        return logits

    def _count_classes(self) -> int:
        return int(self.num_classes or 0)

    def on_test_epoch_start(self) -> None:
        """Have the features of the test sets."""
        self._fill_all(self.trainer.test_dataloaders, "test")

    def on_validation_epoch_start(self) -> None:
        """Have the features of the validation images."""
        self._fill_all(self.trainer.val_dataloaders, VALIDATION)

    def on_predict_epoch_start(self) -> None:
        """Have the features of the images."""
        self._fill_all(self.trainer.predict_dataloaders, "predict")

    def on_train_start(self) -> None:
        """Have the features of the training images."""
        self._fill("train", self.trainer.train_dataloader)

    def _fill_all(self, loaders: Any, prefix: str) -> None:
        for name, loader in named_loaders(loaders, prefix).items():
            self._fill(name, loader)

    def _fill(self, name: str, loader: Any) -> None:
        if self.cache is None or not hasattr(loader, "dataset"):
            return
        check_unchanging(name, loader)
        self.cache.fill(
            name,
            loader.dataset,
            num_workers=loader.num_workers,
            rank=self.global_rank,
            world=self.trainer.world_size,
            meet=self.trainer.strategy.barrier,
            device=self.device,
        )

    def describe_network(self) -> dict[str, Any]:
        return {
            **super().describe_network(),
            "weights": checksum(self.network),
            "features": self.features.describe(),
            "head": dict(self._head),
        }

    def settled_arguments(self) -> dict[str, Any]:
        return {"num_classes": self.num_classes, **self._head}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Say whose features the head takes; the diffusion model itself is not stored."""
        super().on_save_checkpoint(checkpoint)
        checkpoint[NOT_STORED]["denoiser"] = type(self.features.denoiser).__name__
        checkpoint[FEATURES] = self.features.describe()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse other features than those that the head was trained on."""
        trained, own = checkpoint.get(FEATURES, {}), self.features.describe()
        if differ := [name for name in own if trained.get(name) != own[name]]:
            name = differ[0]
            raise InputError(
                f"Expected the features that the head was trained on, but `{name}` was "
                f"{trained.get(name)!r} and is {own[name]!r} now. Give the `denoiser`, `block`, "
                "`timestep` and `seed` of the training."
            )
        stored = checkpoint[self.CHECKPOINT_HYPER_PARAMS_KEY]
        self._head = {name: stored.get(name, value) for name, value in self._head.items()}
        self._take(int(stored["num_classes"]))
        super().on_load_checkpoint(checkpoint)
