"""What the import of mlx-lm does not do here: set limits on open files, import what is not used."""

from __future__ import annotations

import json
import resource
import subprocess
import sys

import pytest
from project import ROOT

from scorer.lm.mlx_lm_import import kept_file_limit


def test_only_limits_on_open_files_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    files, core = (resource.getrlimit(kind) for kind in (resource.RLIMIT_NOFILE, 4))
    real = resource.setrlimit
    with pytest.raises(ValueError), kept_file_limit():
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        resource.setrlimit(resource.RLIMIT_CORE, (0, core[1]))
        raise ValueError
    assert resource.setrlimit is real
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[1] == files[1]
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= min(files[0], 2048)


IMPORTS = """
import json, resource
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 1024))
from scorer.lm.mlx_lm_import import import_mlx_lm
utils = import_mlx_lm(light=True)
print(json.dumps([resource.getrlimit(resource.RLIMIT_NOFILE), callable(utils.load_model)]))
"""


def test_mlx_lm_is_imported_where_few_files_may_be_open() -> None:
    done = subprocess.run(
        [sys.executable, "-c", IMPORTS], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [[64, 1024], True]


LIGHT = """
import json, sys
from scorer.lm.mlx_lm_import import import_mlx_lm
utils = import_mlx_lm(light=True)
heavy = [name for name in ("transformers", "huggingface_hub.hf_api") if name in sys.modules]
try:
    utils.snapshot_download("a/b/c", local_files_only=True)
except ValueError as error:
    said = type(error).__name__
import huggingface_hub
own = huggingface_hub.snapshot_download is not utils.snapshot_download
print(json.dumps([heavy, said, own]))
"""


def test_a_light_import_leaves_the_client_of_the_hub_to_the_first_download() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIGHT], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [[], "HFValidationError", True]
