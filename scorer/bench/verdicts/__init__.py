"""Does the verdict say whether the answers of tasks fall? Small models trained for it, scored."""
