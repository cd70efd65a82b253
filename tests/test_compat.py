"""torchaudio beside a torch that it was not built for: nobody notices, in whatever order things are imported."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mediadiff._compat import scheduler_class
from mediadiff.errors import UsageError

REPOSITORY = Path(__file__).parent.parent


def run(code: str, *path: Path) -> str:
    """The last line that the code prints in a fresh Python, with `path` before the installed packages."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, [*path, REPOSITORY])), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()[-1]


# A package that fails as torchaudio does, in its compiled part; the rest of it asks that part for two names.
FAKE = {
    "__init__.py": "import os\nfrom . import _extension\nfrom . import functional\n",
    "_extension/__init__.py": "{fault}\n_IS_TORCHAUDIO_EXT_AVAILABLE = True\ndef fail_if_no_align(f): return f\n",
    "functional/__init__.py": (
        "from torchaudio._extension import _IS_TORCHAUDIO_EXT_AVAILABLE as compiled, fail_if_no_align\n"
        "@fail_if_no_align\ndef align(): return 'aligned'\n"
    ),
}
CUDA = 'raise RuntimeError("Detected that PyTorch and TorchAudio were compiled with different CUDA versions.")'
LIBRARY = 'raise OSError("Could not load this library: _torchaudio.abi3.so")'


def fake(folder: Path, fault: str = "", functional: str = FAKE["functional/__init__.py"]) -> Path:
    for file, text in {**FAKE, "functional/__init__.py": functional}.items():
        path = folder / "torchaudio" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("{fault}", fault))
    return folder


REPORT = """
from mediadiff import _compat
first = _compat.torchaudio_condition()
assert _compat.torchaudio_condition() == first
t = _compat.torchaudio().functional
print(first, t.compiled)
"""


def test_a_pair_that_fits_is_left_alone(tmp_path: Path) -> None:
    assert run(REPORT + "assert t.align() == 'aligned'; print(first, t.compiled)", fake(tmp_path)) == "whole True"


@pytest.mark.parametrize("fault", [CUDA, LIBRARY, 'raise ImportError("undefined symbol")'])
def test_a_pair_that_does_not_fit_loses_its_compiled_part_only(tmp_path: Path, fault: str) -> None:
    assert run(REPORT, fake(tmp_path, fault)) == "pure False"


def test_what_needs_the_compiled_part_says_so(tmp_path: Path) -> None:
    code = REPORT + "try:\n    t.align()\nexcept RuntimeError as error:\n    print(error)"
    assert run(code, fake(tmp_path, CUDA)).startswith("align needs the compiled part of torchaudio")


def test_an_import_that_failed_before_does_no_harm(tmp_path: Path) -> None:
    code = "try:\n    import torchaudio\nexcept RuntimeError:\n    pass\n" + REPORT
    assert run(code, fake(tmp_path, CUDA)) == "pure False"


ABSENT = """
import importlib.util, sys
from mediadiff import _compat
from mediadiff.errors import UsageError
assert _compat.torchaudio_condition() == _compat.torchaudio_condition() == "absent"
try:
    _compat.torchaudio()
except UsageError as error:
    print(importlib.util.find_spec("torchaudio"), error)
"""


def test_absent(tmp_path: Path) -> None:
    said = run("import sys; sys.modules['torchaudio'] = None\n" + ABSENT)
    assert said.startswith("None torchaudio is not installed, or cannot be used beside this torch; try: pip install")


def test_a_package_that_is_broken_beyond_its_compiled_part_counts_as_absent(tmp_path: Path) -> None:
    broken = fake(tmp_path, CUDA, functional="raise ImportError('worse')")
    assert run(ABSENT, broken).startswith("None torchaudio is not installed")


def test_a_broken_torchvision_is_hidden_from_diffusers(tmp_path: Path) -> None:
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision/__init__.py").write_text('raise RuntimeError("operator torchvision::nms does not exist")')
    code = (
        "import importlib.util, sys; from mediadiff._compat import scheduler_class\n"
        "print(scheduler_class('DDIMScheduler').__name__, importlib.util.find_spec('torchvision'))"
    )
    assert run(code, tmp_path) == "DDIMScheduler None"


def test_the_installed_pair_works_and_diffusers_loads_models_after_it() -> None:
    code = """
import torch
from mediadiff import _compat
condition = _compat.torchaudio_condition()
assert condition in ("whole", "pure"), condition
functional = _compat.torchaudio().functional
bank = functional.melscale_fbanks(129, 0.0, 4000.0, 32, 8000)
assert bank.shape == (129, 32) and torch.isfinite(bank).all()
magnitude = torch.rand(1, 129, 20)
sound = functional.griffinlim(magnitude, torch.hann_window(256), 256, 64, 256, 1.0, 4, 0.99, None, False)
assert sound.shape == (1, 19 * 64) and torch.isfinite(sound).all()
assert _compat.scheduler_class("UniPCMultistepScheduler").__name__ == "UniPCMultistepScheduler"
from diffusers import UNet2DModel
print(UNet2DModel.__name__)
"""
    assert run(code) == "UNet2DModel"


def test_without_the_stand_in_the_installed_pair_would_fail() -> None:
    """Not every pair fails; where this one does, the test above has proved something."""
    code = "try:\n    import torchaudio\n    print('fits')\nexcept (OSError, RuntimeError):\n    print('fails')"
    if run(code) == "fits":
        pytest.skip("the installed torchaudio fits the installed torch")


@pytest.mark.parametrize("name", ["NoScheduler", "UNet2DModel", "__doc__"])
def test_an_unknown_scheduler_is_named(name: str) -> None:
    with pytest.raises(UsageError, match=f"diffusers has no scheduler '{name}'"):
        scheduler_class(name)


def test_a_scheduler_brings_nothing_along_that_it_does_without_and_all_of_it_is_there_when_used() -> None:
    code = (
        "import sys; from mediadiff import _compat; S = _compat.scheduler_class('DPMSolverMultistepScheduler')\n"
        "found = {'torch._dynamo', 'scipy.stats', 'sympy'} & set(sys.modules); assert not found, found\n"
        "beta = S(use_beta_sigmas=True); beta.set_timesteps(3); assert 'scipy.stats' in sys.modules\n"
        "from diffusers.utils.torch_utils import maybe_allow_in_graph\n"
        "class Network: pass\n"
        "assert maybe_allow_in_graph(Network) is Network and 'torch._dynamo' in sys.modules\n"
        "import scipy.stats, torch._dynamo\n"
        "print(scipy.stats.norm.cdf(0), torch._dynamo.allow_in_graph.__module__, len(beta.timesteps))"
    )
    assert run(code) == "0.5 torch._dynamo.decorators 3"


def test_what_is_put_off_comes_whole_to_whoever_asks_for_it() -> None:
    code = (
        "from mediadiff import _compat\nimport sys\n"
        "with _compat._put_off():\n"
        "    from scipy.stats import norm\n"
        "    stats = sys.modules['scipy.stats']\n"
        "print(norm.cdf(0), type(stats).__name__)"
    )
    assert run(code) == "0.5 module"
