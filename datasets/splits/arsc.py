"""The domains of ARSC (Yu et al. 2018) by split, and the files of their tasks.

The test domains are the authors'. Which of their training domains validate is ours.
"""

from __future__ import annotations

from collections.abc import Sequence

THRESHOLDS = ("t2", "t4", "t5")
"""A task is a domain and a rating above which a review counts as good."""

TEST = ("books", "dvd", "electronics", "kitchen_housewares")
VAL = ("baby", "magazines", "software")
SMALL_TRAIN = (
    "apparel",
    "automotive",
    "beauty",
    "camera_photo",
    "cell_phones_service",
    "computer_video_games",
    "gourmet_food",
    "grocery",
    "health_personal_care",
    "jewelry_watches",
    "office_products",
    "outdoor_living",
    "sports_outdoors",
    "toys_games",
)
TRAIN = (*SMALL_TRAIN, "music", "video")


def files_of(train: Sequence[str]) -> list[str]:
    """Return the files of the tasks of these training domains, and of those that validate and test."""
    training = [f"{domain}.{threshold}.train" for domain in (*train, *VAL) for threshold in THRESHOLDS]
    testing = [
        f"{domain}.{threshold}.{part}" for domain in TEST for threshold in THRESHOLDS for part in ("train", "test")
    ]
    return training + testing
