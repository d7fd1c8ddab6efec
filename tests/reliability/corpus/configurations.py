"""Files of configurations."""

from corpus.case import FAST, OUT, Case, of, text

RUN = ("test", "--config", "own.yaml", OUT, FAST)
DATA = "data:\n  class_path: Digits\n  init_args: {num_test: 6}\n"
MODEL = """\
model:
  class_path: DiffusionClassifier
  init_args:
    denoiser:
      class_path: AutoDenoiser.from_pretrained
      init_args: {pretrained_model_name_or_path: diffclf/digits-dit}
    strategy: {class_path: Racing, init_args: {max_trials: 3}}
"""
MODEL = MODEL.replace("class_path: ", "class_path: diffclf_lightning.")
DATA = DATA.replace("class_path: ", "class_path: diffclf_lightning.datamodules.")
TRAINER = "trainer: {logger: false, accelerator: cpu}\n"
GOOD = MODEL + DATA + TRAINER


def refused(name: str, content: str | bytes, says: str = "own.yaml") -> Case:
    """A configuration that is refused."""
    return Case(f"configuration: {name}", RUN, says=says, prepare=text("own.yaml", content))


def works(name: str, content: str | bytes, file: str = "own.yaml") -> Case:
    """One that is not."""
    arguments = ("test", "--config", file, *RUN[3:])
    digits = of(6, name="digits")
    return Case(
        f"configuration: {name}", arguments, "works", prepare=text(file, content), images=digits
    )


SWEEP = ("sweep", "own.yaml")


def sweep(name: str, content: str | bytes, says: str = "own.yaml") -> Case:
    """A sweep that is refused."""
    return Case(f"sweep: {name}", SWEEP, says=says, prepare=text("own.yaml", content))


CASES = [
    Case(
        "configuration: a folder",
        RUN,
        says="own.yaml",
        prepare=lambda folder: (folder / "own.yaml").mkdir(),
    ),
    refused("an empty file", ""),
    refused("comments alone", "# model: none\n"),
    refused("a list", "- 1\n- 2\n"),
    refused("a word", "digits\n"),
    refused("a number", "7\n"),
    refused("null", "null\n"),
    refused("zero bytes", b"\0\0\0"),
    refused("an image", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"),
    refused("bytes that are no UTF-8", GOOD.encode() + b"# \xff\xfe\n"),
    refused("a tab", GOOD.replace("  class_path", "\tclass_path")),
    refused("brackets that never close", GOOD + "trainer: {logger: false\n"),
    refused("a colon in a value", GOOD.replace("diffclf/digits-dit", "a: b: c")),
    refused("a key twice", GOOD + DATA.replace("6", "3"), "data"),
    refused(
        "a key twice, in a class",
        GOOD.replace("num_test: 6", "num_test: 6, num_test: 3"),
        "num_test",
    ),
    refused("an anchor that is not there", GOOD + "seed_everything: *seed\n"),
    refused("a circle", "model: &m\n  class_path: *m\n" + DATA, ""),
    refused("a tag that runs code", GOOD + "seed_everything: !!python/object/apply:os.getpid []\n"),
    refused("a key that is unknown", GOOD + "datas: 3\n", "datas"),
    refused("a key of another command", GOOD + "optimizer: Adam\n", "optimizer"),
    refused("a key without a value", DATA + "model:\n", "model"),
    refused("data without a value", MODEL + "data:\n", "data"),
    refused(
        "a class without its arguments' indent",
        GOOD.replace("  init_args: {num_test: 6}", "init_args: {num_test: 6}"),
        "init_args",
    ),
    refused(
        "a class path that is a number",
        GOOD.replace("diffclf_lightning.datamodules.Digits", "5"),
        "--data",
    ),
    refused(
        "a class path that is empty",
        GOOD.replace("diffclf_lightning.datamodules.Digits", "''"),
        "data",
    ),
    refused(
        "a class path of nothing",
        GOOD.replace("diffclf_lightning.datamodules.Digits", "nothing.Digits"),
        "nothing",
    ),
    refused("arguments that are a list", GOOD.replace("{num_test: 6}", "[6]"), "data"),
    refused("a number in quotes that is none", GOOD.replace("6", "'six'"), "--data.num_test"),
    refused("a number of null", GOOD.replace("6", "null"), "--data.num_test"),
    refused("a number that is a list", GOOD.replace("6", "[6]"), "--data.num_test"),
    refused(
        "a callback that is null", GOOD.replace("logger: false", "callbacks: [null]"), "callbacks"
    ),
    refused(
        "trials of null",
        GOOD.replace("max_trials: 3", "max_trials: null"),
        "--model.strategy.max_trials",
    ),
    refused(
        "trials in words",
        GOOD.replace("max_trials: 3", "max_trials: many"),
        "--model.strategy.max_trials",
    ),
    refused(
        "trials without end",
        GOOD.replace("max_trials: 3", "max_trials: .inf"),
        "--model.strategy.max_trials",
    ),
    refused("half a file", GOOD[: len(MODEL) - 20], ""),
    refused("JSON with a comma too many", '{"model": {},}', ""),
    refused("a configuration of fit", "fit:\n  seed_everything: 1\n" + GOOD, "fit"),
    works("as it should be", GOOD),
    works("CRLF", GOOD.replace("\n", "\r\n")),
    works("a byte order mark", b"\xef\xbb\xbf" + GOOD.encode()),
    works("three dashes and an end", f"---\n{GOOD}...\n"),
    works("a name without a suffix", GOOD, "own"),
    works("a name with spaces and letters of elsewhere", GOOD, "my été 数字.yaml"),
    works("a number in quotes", GOOD.replace("6", "'6'")),
    Case(
        "configuration: by a home that is no one's",
        ("test", "--config=~nobody/own.yaml"),
        says="~nobody/own.yaml",
    ),
    sweep("an empty file", "", "own.yaml"),
    sweep("a list", "- a\n", "own.yaml"),
    sweep("no models", "data: [Digits]\n", "configs"),
    sweep("models that are a word", "configs: digits\ndata: [Digits]\n", "configs"),
    sweep("a model that is null", "configs: [null]\ndata: [Digits]\n", "configs"),
    sweep("an unknown configuration", "configs: [digts]\n", "digts"),
    sweep("an unknown key", "modles: {}\n", "modles"),
    sweep("bytes that are no UTF-8", b"configs: \xff\xfe"),
    sweep("a tab", "configs:\n\ta: b\n"),
]
