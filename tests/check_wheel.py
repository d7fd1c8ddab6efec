"""Installs the wheel outside the repository and imports every module of it, without extras."""

import subprocess
import sys
import tempfile
import venv
from pathlib import Path

CHECK_FILES = """
import pathlib
import diffclf_lightning
root = pathlib.Path(diffclf_lightning.__file__).parent
assert "site-packages" in str(root), root
assert (root / "assets/digits-dit/model_index.json").is_file()
assert (root / "assets/glyphs/model_index.json").is_file()
assert (root / "assets/scenes/text_encoder/model.safetensors").is_file()
assert (root / "assets/digits-clip/open_clip_config.json").is_file()
assert (root / "configs/digits.yaml").is_file()
assert (root / "configs/baselines/resnet50.yaml").is_file()
assert (root / "robustness/data/testbed.csv").is_file()
assert (root / "datamodules/data/imagenet_a.txt").is_file()
assert (root / "datamodules/data/glyphs.txt").is_file()
assert (root / "report/templates/page.html.j2").is_file()
assert (root / "py.typed").is_file()
"""


def main(folder: Path) -> None:
    """Check the one wheel in a folder."""
    (wheel,) = folder.glob("*.whl")
    with tempfile.TemporaryDirectory() as away:
        # Dependencies come from the environment that runs this; the package itself must not.
        venv.create(away, with_pip=False)
        python = Path(away) / "bin" / "python"
        target = subprocess.check_output(
            [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], text=True
        ).strip()
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", target]
        subprocess.run([*pip, str(wheel.resolve())], check=True)
        own = subprocess.check_output(
            [sys.executable, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
            text=True,
        ).strip()
        (Path(target) / "dependencies.pth").write_text(own + "\n")
        subprocess.run([python, "-c", CHECK_FILES], check=True, cwd=away)
        import_all = Path(__file__).with_name("import_all.py").resolve()
        subprocess.run([python, import_all], check=True, cwd=away)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
