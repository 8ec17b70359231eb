"""Judging models and error bars: statistical distance, criteria, resampling, reliability and coverage."""

from tusi.inference.criteria import (
    SeedTable,
    composite_information_criterion,
    distance_information_criterion,
    naive_goodness_of_fit,
    seed_table,
)
from tusi.inference.reliability import Coverage, Reliability, binomial_interval, coverage, reliability
from tusi.inference.resampling import quantile_band, resampling_p_value
from tusi.inference.statistical_distance import pooled_squared_distance, statistical_distance

__all__ = [
    "Coverage",
    "Reliability",
    "SeedTable",
    "binomial_interval",
    "composite_information_criterion",
    "coverage",
    "distance_information_criterion",
    "naive_goodness_of_fit",
    "pooled_squared_distance",
    "quantile_band",
    "reliability",
    "resampling_p_value",
    "seed_table",
    "statistical_distance",
]
