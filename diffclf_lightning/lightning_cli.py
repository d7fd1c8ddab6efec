"""``diffclf fit``, ``validate``, ``test`` and ``predict``: LightningCLI with all its flags."""

import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from types import NoneType
from typing import Any, get_args

from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

from diffclf_lightning import baselines, datamodules, informative, learned, training
from diffclf_lightning.callbacks import (
    DryRun,
    EvaluationProgress,
    ReportTable,
    Requeue,
    ResultsWriter,
    TrainedModel,
)
from diffclf_lightning.callbacks.dry_run import Estimated
from diffclf_lightning.callbacks.requeue import job_name
from diffclf_lightning.callbacks.stops import Stops
from diffclf_lightning.callbacks.trained import LAST
from diffclf_lightning.checkpoints import read_checkpoint
from diffclf_lightning.errors import InputError
from diffclf_lightning.mistakes import CommandParser, refuse_nulls
from diffclf_lightning.refusals import check_work, checkpoint_path, refusals
from diffclf_lightning.stopping import Stopping

NAMED = baselines, datamodules, informative, learned, training
"""Whose classes are known on the command line by their names alone."""
DESCRIPTIONS = {
    "fit": "Train a denoiser or a baseline.",
    "validate": "Measure a classifier on validation images.",
    "test": "Measure a classifier on test sets.",
    "predict": "Answer images without labels.",
}
DRY_RUN = "--dry-run"
SHORT = {"--denoiser": "--model.denoiser.pretrained_model_name_or_path"}
"""Short names of arguments."""
EXCLUSIVE = ("--model.candidates", "--model.template")
"""Arguments of which the typed one replaces the other's value in a configuration."""


def take_counts(parser: LightningArgumentParser) -> None:
    """Let ``--trainer.limit_test_batches 1`` be one batch, and not 1.0, which is all of them.

    Lightning writes ``Union[int, float]``, for which ``typing`` hands out ``Union[float, int]``
    where a library that was imported before wrote that.
    """
    for action in parser._actions:
        if set(get_args(getattr(action, "_typehint", None))) == {int, float, NoneType}:
            action._typehint = int | float | None  # type: ignore[attr-defined]


class DiffclfParser(CommandParser, LightningArgumentParser):
    """Parser of a subcommand, with Lightning's arguments."""


class DiffclfCLI(LightningCLI):
    """LightningCLI with stored results, a table at the end, and progress inside a batch.

    Args:
        command: The subcommand.
        run_name: What the run is called.
        args: Arguments, the subcommand first.
        stopping: The signals that may end it.
        dry_run: Whether to say what a test would take, and end there.
    """

    def __init__(
        self,
        command: str,
        run_name: str,
        args: list[str],
        stopping: Stopping,
        *,
        dry_run: bool = False,
    ) -> None:
        self.command, self.run_name, self.dry_run = command, run_name, dry_run
        self.stopping = stopping
        super().__init__(
            LightningModule,
            LightningDataModule,
            subclass_mode_model=True,
            subclass_mode_data=True,
            save_config_callback=None,
            auto_configure_optimizers=False,
            seed_everything_default=0,
            parser_kwargs={command: {"description": DESCRIPTIONS[command]}, "prog": "diffclf"},
            parser_class=DiffclfParser,
            args=args,
        )

    def subcommands(self) -> dict[str, set[str]]:  # type: ignore[override]
        """The one that was asked for: making a parser takes time."""
        return {self.command: super().subcommands()[self.command]}

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add ``--results.*``."""
        parser.add_lightning_class_args(ResultsWriter, "results")

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Add the progress bar and, to ``fit``, its end; not what is switched off.

        Under SLURM, Lightning takes up any checkpoint of a job that lies in ``default_root_dir``:
        that is the folder of results, which no other job shares.
        """
        given = self._get(self.config_init, "trainer")
        writer = self._get(self.config_init, "results")
        writer.name = self.run_name
        if job_name() is not None and given.default_root_dir is None:
            kwargs["default_root_dir"] = writer.chosen()
        callbacks: list[Callback] = [ReportTable(), Stops(self.stopping)]
        if given.enable_progress_bar is not False:
            callbacks.append(EvaluationProgress())
        if self.command == "fit":
            callbacks.append(TrainedModel())
            own = any(isinstance(one, ModelCheckpoint) for one in given.callbacks or ())
            if given.enable_checkpointing is not False and not own:
                callbacks.append(ModelCheckpoint(filename=LAST, enable_version_counter=False))
        else:
            callbacks.append(Requeue())
        self.trainer_defaults["callbacks"] = callbacks
        trainer = super().instantiate_trainer(**kwargs)
        check_work(trainer, self.command, self._config().ckpt_path)
        self.stopping.processes = lambda: getattr(trainer.strategy.launcher, "procs", [])
        return trainer

    def _prepare_subcommand_parser(
        self, klass: type, subcommand: str, **kwargs: Any
    ) -> LightningArgumentParser:
        parser = super()._prepare_subcommand_parser(klass, subcommand, **kwargs)
        if subcommand in ("test", "validate"):  # the report table replaces Lightning's list
            parser.set_defaults({"verbose": False})
        # Without, Lightning runs what a checkpoint holds that comes from an address on the web.
        parser.set_defaults({"weights_only": True})
        take_counts(parser)
        return parser

    def _parse_ckpt_path(self) -> None:
        """Take weights alone from a checkpoint: Lightning's own would replace what was typed."""

    def before_instantiate_classes(self) -> None:
        """Refuse nulls, which jsonargparse does not look at, and an unreadable checkpoint."""
        given = self._config()
        refuse_nulls(given)
        given.ckpt_path = checkpoint_path(given.ckpt_path)
        if given.weights_only is not False and Path(given.ckpt_path or "").is_file():
            read_checkpoint(given.ckpt_path)

    def instantiate_classes(self) -> None:
        """Answer what Lightning refuses."""
        with refusals(making=True):
            super().instantiate_classes()

    def after_instantiate_classes(self) -> None:
        """Tell the results which configuration they belong to."""
        if self.dry_run:
            self.trainer.callbacks = [DryRun()]  # type: ignore[attr-defined]
        writer = self._get(self.config_init, "results")
        parser = self._parser(self.subcommand)
        again = self._config().clone()
        again.results.folder = None  # so that the file repeats the run, and does not continue it
        writer.config = parser.dump(again, skip_none=False)  # what is null may have another default

    def _config(self) -> Any:
        return self.config.get(str(self.subcommand), self.config)


def main(args: Sequence[str], run_name: str, stopping: Stopping) -> None:
    """Run a subcommand.

    Args:
        args: The subcommand and its arguments.
        run_name: What the run is called.
        stopping: The signals that may end it.

    Raises:
        InputError: If they are wrong.
    """
    _quieten()
    command, dry_run = args[0], DRY_RUN in args
    if dry_run and command != "test":
        raise InputError(f"Expected {DRY_RUN} with `diffclf test`, but got `diffclf {command}`.")
    given = [_long(arg) for arg in args if arg != DRY_RUN]
    typed = [name for name in EXCLUSIVE if any(arg.startswith(name) for arg in given)]
    if len(typed) == 1:
        (other,) = set(EXCLUSIVE) - set(typed)
        given.append(f"{other}=null")
    try:
        with refusals():
            DiffclfCLI(command, run_name, given, stopping, dry_run=dry_run)
    except Estimated:
        return


def _long(arg: str) -> str:
    """An argument by its whole name."""
    flag, given, value = arg.partition("=")
    return SHORT.get(flag, flag) + given + value


def _quieten() -> None:
    """Keep out of the output what is neither ours nor of use: advertisements, deprecations."""
    logging.getLogger("lightning.pytorch.utilities.rank_zero").addFilter(
        lambda record: "Tip:" not in record.getMessage()
    )
    warnings.filterwarnings("ignore", message="The dirpath has changed from")
    warnings.filterwarnings("ignore", message=".*LeafSpec.*is deprecated.*")
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    # Of several processes: each image counts once, and what is logged is the same on all.
    warnings.filterwarnings("ignore", message="Using `DistributedSampler` with the dataloaders")
    warnings.filterwarnings("ignore", message="It is recommended to use `self.log")
    # Of images that are stored already.
    warnings.filterwarnings("ignore", message="predict returned None if it was on purpose")
    warnings.filterwarnings("ignore", message="LightningCLI's args parameter is intended")
