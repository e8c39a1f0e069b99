"""From a saved run to its report: rows, ranking, recommendation, warnings."""
