"""The model that tests of downloads pull, and the error of a pull that is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from scorer.common.errors import InputError
from scorer.download.pull import pull
from scorer.models.hub_cache import hub_folder

REPO = "org/model"
WEIGHTS = "model.safetensors"


def blobs() -> Path:
    """Where the cache keeps the contents of its files."""
    return hub_folder() / "models--org--model" / "blobs"


def assert_refused(message: str, hint: str, **options: Any) -> InputError:
    """Pull the model; the error, each line of which is one line and says this."""
    with pytest.raises(InputError) as caught:
        pull(REPO, **options)
    assert message in caught.value.message and "\n" not in caught.value.message
    assert hint in caught.value.hint and "\n" not in caught.value.hint
    assert caught.value.exit_code == 2
    return caught.value
