"""How long a study takes beside its models: tables, pictures, figures, start.

A straight line in the numbers of what is computed, whose coefficients are seconds of one thread of a 2.1 GHz
server core (Xeon, 2020s), measured on the demo (16 models, 5 conditions, 100 to 680 ensembles) and on random
logits of 10 to 1000 classes. Within a factor of two on other machines: the plan says "about".
"""

from __future__ import annotations

START_S = 6.0  # libraries, opening of data and models
REPORT_S = 12.0  # figures in four formats and the page
CONDITION_S = 0.6  # tables of one condition, whatever is in it
MEASURE_S = 9e-5  # one diversity measure of one ensemble under one condition, with its standard error
ANSWER_S = 3e-7  # one ensemble's answer to one image: the counts
SCORE_S = 3.2e-9  # one ensemble's score of one class by one rule


def seconds_of_tables(
    *, conditions: int, ensembles: int, measures: int, images: int, classes: int, rules: int
) -> float:
    """Seconds of one thread for all tables, pictures and figures of a study, and its start.

    Args:
        conditions: of all data sets together.
        ensembles: of all sizes together.
        measures: diversity measures of each ensemble.
        images: of all data sets together, each as often as it has conditions.
        classes, rules: of the label space; consensus rules.
    """
    of_conditions = conditions * (CONDITION_S + MEASURE_S * ensembles * measures)
    of_answers = images * ensembles * (ANSWER_S + SCORE_S * classes * rules)
    return START_S + REPORT_S + of_conditions + of_answers
