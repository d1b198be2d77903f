"""A small table of mixed columns, and settings with which trainings take a moment."""

import numpy as np
import pandas as pd
import pytest

from fastfnn.tabular import Recipe

# A network that learns the table below in a second or less.
QUICK = {
    "preset": Recipe(small_bags=1), "hidden_layer_sizes": 32, "members": 2, "embedding_size": 4, "bins": 8,
    "max_epochs": 30, "learning_rate": 0.01, "dropout": 0.0, "validation_fraction": 0.15, "random_state": 0,
}  # fmt: skip


@pytest.fixture
def quick():
    """Settings of a quick training."""
    return dict(QUICK)


def flats(rows=300, seed=0):
    """Numbers, Booleans, categories, dates, missing values, constants and names; the rent depends on some of them."""
    rng = np.random.default_rng(seed)
    area = rng.uniform(20, 120, rows)
    rooms = rng.integers(1, 6, rows)
    city = rng.choice(["Kyoto", "Osaka", "Tokyo"], rows)
    station = rng.choice([f"station {number}" for number in range(12)], rows)
    garden = rng.random(rows) < 0.3
    built = pd.Timestamp("1990-01-01") + pd.to_timedelta(rng.integers(0, 12_000, rows), unit="D")
    rent = 3 * area + 20 * rooms + 50 * (city == "Tokyo") + 30 * garden
    frame = pd.DataFrame(
        {
            "area": np.where(rng.random(rows) < 0.1, np.nan, area), "rooms": rooms, "city": city, "station": station,
            "garden": garden, "built": built, "country": "Japan", "empty": np.nan,
            "tenant": [f"tenant {number}" for number in range(rows)],
        }
    )  # fmt: skip
    frame.loc[::17, "city"] = None
    return frame, rent


@pytest.fixture
def table():
    """Frame and rent of 300 flats."""
    return flats()


@pytest.fixture
def others():
    """Frame and rent of 100 other flats."""
    return flats(100, seed=1)
