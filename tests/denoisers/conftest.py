import shutil

import pytest
import tiny


@pytest.fixture(scope="session")
def whole(tmp_path_factory):
    """Folders as diffusers itself writes them, by family."""
    root = tmp_path_factory.mktemp("whole")
    tiny.stable_diffusion_pipeline("epsilon").save_pretrained(root / "text")
    tiny.dit_with_vae().save_pretrained(root / "dit")
    tiny.unet().save_pretrained(root / "unet")
    return root


@pytest.fixture
def copy(whole, tmp_path):
    """A folder of a test's own, to be broken."""

    def copied(family):
        return shutil.copytree(whole / family, tmp_path / family)

    return copied
