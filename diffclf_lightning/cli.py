"""The command line: ``diffclf fit|validate|test|predict`` is LightningCLI with all its flags.

``diffclf calibrate``, ``score`` and ``robustness`` stand beside it, for they run no model.
"""

import logging
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

from diffclf_lightning import calibrate, score
from diffclf_lightning.callbacks import EvaluationProgress, ReportTable, ResultsWriter
from diffclf_lightning.errors import InputError
from diffclf_lightning.robustness import command as robustness

CONFIGS = Path(__file__).parent / "configs"
DESCRIPTION = """\
Turn a conditional diffusion model into an image classifier, and measure it. Beside the subcommands
below, "diffclf robustness RUN..." compares finished runs with baselines, "diffclf calibrate RUN"
fits the temperature of probabilities, and "diffclf score RUN" answers again by another score.
"""
COMMANDS = {"calibrate": calibrate.main, "robustness": robustness.main, "score": score.main}
"""Commands that run no model."""


class DiffclfCLI(LightningCLI):
    """LightningCLI with stored results, a table at the end, and progress inside a batch."""

    def __init__(self, run_name: str, args: list[str] | None) -> None:
        self.run_name = run_name
        super().__init__(
            LightningModule,
            LightningDataModule,
            subclass_mode_model=True,
            subclass_mode_data=True,
            save_config_callback=None,
            auto_configure_optimizers=False,
            trainer_defaults={"callbacks": [ReportTable()]},
            seed_everything_default=0,
            parser_kwargs={"description": DESCRIPTION},
            args=args,
        )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add ``--results.*``."""
        parser.add_lightning_class_args(ResultsWriter, "results")

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Add the progress bar, unless it is switched off."""
        if self._get(self.config_init, "trainer").enable_progress_bar is not False:
            self.trainer_defaults["callbacks"].append(EvaluationProgress())
        return super().instantiate_trainer(**kwargs)

    def _prepare_subcommand_parser(
        self, klass: type, subcommand: str, **kwargs: Any
    ) -> LightningArgumentParser:
        parser = super()._prepare_subcommand_parser(klass, subcommand, **kwargs)
        if subcommand == "test":  # the report table replaces Lightning's list of logged values
            parser.set_defaults({"verbose": False})
        return parser

    def _parse_ckpt_path(self) -> None:
        """Take weights alone from a checkpoint: Lightning's own would replace what was typed."""

    def after_instantiate_classes(self) -> None:
        """Tell the results which configuration they belong to."""
        writer = self._get(self.config_init, "results")
        writer.name = self.run_name
        parser = self._parser(self.subcommand)
        config = self._config()
        again = config.clone()
        again.results.folder = None  # so that the file repeats the run, and does not continue it
        writer.config = parser.dump(again)
        if self.subcommand == "fit":  # so that load_from_checkpoint needs nothing else
            self.model.save_hyperparameters(
                {
                    "_class_path": config.model.class_path,
                    "_instantiator": "lightning.pytorch.cli.instantiate_module",
                    **config.model.init_args.as_dict(),
                },
                logger=False,
            )

    def _config(self) -> Any:
        return self.config.get(str(self.subcommand), self.config)


def shipped_configs() -> list[str]:
    """Names of the configurations that the package carries."""
    return sorted(str(f.relative_to(CONFIGS).with_suffix("")) for f in CONFIGS.rglob("*.yaml"))


def find_config(name: str) -> str:
    """The file of a configuration.

    Args:
        name: A file, or the name of a shipped configuration.

    Returns:
        Path of the file.

    Raises:
        InputError: If there is neither.
    """
    if Path(name).is_file():
        return name
    if name in shipped_configs():
        return str(CONFIGS / f"{name}.yaml")
    raise InputError(
        f"Expected --config to be a file or one of {', '.join(shipped_configs())}, but got "
        f"{name!r}."
    )


def resolve_configs(args: Sequence[str]) -> tuple[list[str], str]:
    """Arguments with shipped configurations as paths, and a name for the run.

    Args:
        args: Command-line arguments.

    Returns:
        The arguments, and the name of the last configuration.
    """
    resolved, name = list(args), "run"
    for i, arg in enumerate(args):
        flag, given, value = arg.partition("=")
        if flag not in ("--config", "-c"):
            continue
        if given:
            resolved[i] = f"{flag}={find_config(value)}"
            name = Path(value).stem
        elif i + 1 < len(args):
            resolved[i + 1] = find_config(args[i + 1])
            name = Path(args[i + 1]).stem
    return resolved, name


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line.

    Args:
        args: Arguments. Defaults to None: those of the process.
    """
    _quieten()
    given = sys.argv[1:] if args is None else list(args)
    try:
        if given and given[0] in COMMANDS:
            COMMANDS[given[0]](given[1:])
            return
        resolved, name = resolve_configs(given)
        if args is None:  # so that the processes which Lightning starts get the same
            sys.argv[1:] = resolved
        DiffclfCLI(name, None if args is None else resolved)
    except Exception as error:
        said = _input_error(error)
        if said is None:
            raise
        sys.stderr.write(f"diffclf: error: {said}\n")
        sys.exit(2)


def _input_error(error: BaseException | None) -> InputError | None:
    """The input error behind an error: jsonargparse wraps what constructors raise."""
    while error is not None and not isinstance(error, InputError):
        error = error.__cause__
    return error


def _quieten() -> None:
    """Keep out of the output what is neither ours nor of use: advertisements, deprecations."""
    logging.getLogger("lightning.pytorch.utilities.rank_zero").addFilter(
        lambda record: "Tip:" not in record.getMessage()
    )
    warnings.filterwarnings("ignore", message=".*LeafSpec.*is deprecated.*")
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
