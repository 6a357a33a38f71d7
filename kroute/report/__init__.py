"""What came of the alerts of a period: explained one by one, exported for a review, measured over all."""
